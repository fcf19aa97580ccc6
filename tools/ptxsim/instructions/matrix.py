"""ldmatrix and stmatrix of 8 x 8 matrices of 16-bit elements: lane 8 j + i holds the address of row i of matrix j."""

import numpy as np

from tools.ptxsim.batch import WARP, Batch
from tools.ptxsim.decoder import Decoder, Mask, Step, instruction, vector
from tools.ptxsim.errors import MissingLanes, UnsupportedInstruction
from tools.ptxsim.instructions.memory import address_slot, lane_addresses
from tools.ptxsim.ptx_types import TYPES

_U32 = TYPES["u32"]


@instruction("ldmatrix", "stmatrix")
def _matrix(d: Decoder) -> Step:
    type_ = d.type()
    is_load = d.inst.opcode == "ldmatrix"
    count = int((d.choose("x1", "x2", "x4") or "x0")[1:])
    transposed = d.flag("trans")
    shape, sync, aligned = d.flag("m8n8"), d.flag("sync"), d.flag("aligned")
    d.ignore(r"shared|shared::cta")
    registers = vector(d.operand(0 if is_load else 1))
    if not (shape and sync and aligned and type_.name == "b16" and count == len(registers)):
        raise UnsupportedInstruction("this form of a matrix move")
    # A transposed element is half a word of its own row.
    slot = address_slot(d, "shared", 1 if is_load else 0, 2 if transposed else 4)
    if is_load:
        targets = [d.destination(name, _U32) for name in registers]
    else:
        sources = [d.source(name, _U32) for name in registers]

    def step(batch: Batch, mask: Mask) -> None:
        lanes = batch.lanes_of(mask)
        if (batch.warps_in(mask)[batch.warp_id[lanes]] != 0xFFFFFFFF).any():
            raise MissingLanes("a matrix move by part of a warp", int(lanes[0]))
        rows = np.zeros(batch.lanes, np.uint64)
        rows[lanes] = lane_addresses(batch, slot, lanes, mask)
        lane = lanes % WARP
        for j in range(count):
            if is_load:
                value = _load(batch, rows, lanes, lane, j, transposed)
                if (target := targets[j]) is not None:
                    batch.views[target][lanes] = value
            else:
                _store(batch, rows, lanes, lane, j, transposed, batch.views[sources[j]][lanes])

    return step


def _places(rows: np.ndarray, lanes: np.ndarray, lane: np.ndarray, j: int, half: int, transposed: bool) -> np.ndarray:
    """The addresses of one element of each lane's pair: (lane / 4, 2 (lane % 4) + half), or the transpose."""
    row, column = lane // 4, 2 * (lane % 4) + half
    if transposed:
        row, column = column, row
    return rows[lanes - lane + 8 * j + row] + (2 * column).astype(np.uint64)


def _load(batch: Batch, rows: np.ndarray, lanes: np.ndarray, lane: np.ndarray, j: int, transposed: bool) -> np.ndarray:
    if not transposed:
        return batch.shared.load(_places(rows, lanes, lane, j, 0, False), lanes, 4, 1)[0]
    low, high = (batch.shared.load(_places(rows, lanes, lane, j, h, True), lanes, 2, 1)[0] for h in (0, 1))
    return low.astype(np.uint32) | (high.astype(np.uint32) << np.uint32(16))


def _store(
    batch: Batch,
    rows: np.ndarray,
    lanes: np.ndarray,
    lane: np.ndarray,
    j: int,
    transposed: bool,
    value: np.ndarray,
) -> None:
    if not transposed:
        batch.shared.store(_places(rows, lanes, lane, j, 0, False), lanes, 4, [value])
        return
    for half in (0, 1):
        piece = (value >> np.uint32(16 * half)).astype(np.uint16)
        batch.shared.store(_places(rows, lanes, lane, j, half, True), lanes, 2, [piece])
