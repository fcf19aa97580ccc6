"""What a Triton custom call holds: the kernel's PTX and how it is launched, read back from the program as XLA gets it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

from jax._src.lib.mlir import ir

# Fields of jaxlib's gpu/triton.proto.
_KERNEL_CALL = 1
_KERNEL, _GRID, _PARAMETERS = 1, (2, 3, 4), 5
_NAME, _WARPS, _SHARED, _PTX, _CAPABILITY = 1, 2, 3, 4, 6
_ARRAY, _BOOL, _I32, _U32, _I64, _U64, _F32, _F64 = range(1, 9)


@dataclass(frozen=True)
class TritonCall:
    """Attributes: parameters: None for an array, the value of a scalar; shared_bytes: dynamic shared memory."""

    name: str
    ptx: str
    grid: tuple[int, int, int]
    warps: int
    shared_bytes: int
    capability: int
    parameters: tuple[Any, ...]


def triton_calls(module: ir.Module) -> list[TritonCall]:
    """Every Triton custom call of a StableHLO module, in order."""
    found = []

    def visit(operation: Any) -> None:
        is_call = operation.operation.name == "stablehlo.custom_call"
        if is_call and "triton_kernel_call" in str(operation.attributes["call_target_name"]):
            found.append(decode(ir.StringAttr(operation.attributes["backend_config"]).value_bytes))
        for region in operation.regions:
            for block in region.blocks:
                for inner in block.operations:
                    visit(inner)

    visit(module.operation)
    return found


def decode(opaque: bytes) -> TritonCall:
    """Of a call's backend_config."""
    call = _fields(_fields(zlib.decompress(opaque))[_KERNEL_CALL][0])
    kernel = _fields(call[_KERNEL][0])
    x, y, z = (call.get(field, [1])[0] for field in _GRID)
    return TritonCall(
        name=kernel[_NAME][0].decode(),
        ptx=kernel[_PTX][0].decode(),
        grid=(x, y, z),
        warps=kernel[_WARPS][0],
        shared_bytes=kernel.get(_SHARED, [0])[0],
        capability=kernel[_CAPABILITY][0],
        parameters=tuple(_parameter(_fields(p)) for p in call.get(_PARAMETERS, [])),
    )


def _parameter(fields: dict[int, list[Any]]) -> Any:
    ((field, (value, *_)),) = fields.items()
    if field == _ARRAY:
        return None
    if field in (_I32, _I64):
        return value - (1 << 64) if value >> 63 else value
    if field in (_F32, _F64):
        return struct.unpack("<f" if field == _F32 else "<d", value)[0]
    return value


def _fields(data: bytes) -> dict[int, list[Any]]:
    """A protobuf message's values by field number."""
    fields: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            value: Any = varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            value, at = data[at : at + size], at + size
        fields.setdefault(tag >> 3, []).append(value)
    return fields
