"""Compiles a program for a GPU with XLA:GPU, with no GPU: its kernels, temporary memory and bytes accessed."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
from jaxlib import xla_client

from benchmarks.gpu_report.targets import Gpu

# Instructions of a compiled program that launch nothing.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "call", "partition-id", "replica-id"}


@dataclass(frozen=True)
class Compiled:
    """What XLA made of a program.

    Attributes: kernels: instructions that launch, by opcode or custom-call target; accessed_bytes: by XLA's analysis, which
    does not see into custom calls; memory: as XLA has assigned it, in bytes.
    """

    kernels: Counter[str]
    accessed_bytes: float
    memory: Any
    text: str

    @property
    def temp_bytes(self) -> int:
        """Memory besides operands and results."""
        return int(self.memory.temp_size_in_bytes)


def compile_for(
    gpu: Gpu,
    function: Callable[..., Any],
    shapes: Sequence[Any],
    donate_argnums: Sequence[int] = (),
    options: Mapping[str, Any] | None = None,
) -> Compiled:
    """Compile `function`, of arguments of these shapes (pytrees of ShapeDtypeStruct), for one device of this kind;
    results may take the memory of the arguments `donate_argnums`, and `options` are XLA's."""
    sharding = SingleDeviceSharding(_topology(gpu).devices[0])
    args = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), tuple(shapes))
    program = jax.jit(function, donate_argnums=donate_argnums)
    compiled = program.trace(*args).lower(lowering_platforms=("cuda",)).compile(options and dict(options))
    (module,) = compiled.runtime_executable().hlo_modules()
    # The binding that counts bytes is private to jaxlib.
    analysis = xla_client._xla.hlo_module_cost_analysis(jax.devices("cpu")[0].client, module)
    text = module.to_string()
    return Compiled(_kernels(text), max(0.0, analysis["bytes accessed"]), compiled.memory_analysis(), text)


@functools.cache
def _topology(gpu: Gpu) -> Any:
    return topologies.get_topology_desc("", platform="cuda", topology="1x1x1", target_config=gpu.target_config())


def _kernels(text: str) -> Counter[str]:
    """Counted over the computations that are run themselves, not those inside fusions and reductions."""
    inner = set(re.findall(r"(?:calls|to_apply)=%([\w.-]+)", text)) - set(
        re.findall(r" call\(.*?to_apply=%([\w.-]+)", text)
    )
    counts: Counter[str] = Counter()
    for name, body in re.findall(r"^(?:ENTRY )?%([\w.-]+) \(.*?\{\n(.*?)^\}", text, re.M | re.S):
        if name in inner:
            continue
        for line in body.splitlines():
            opcode = re.search(r"= .*? ([a-z][\w-]*)\(", line)
            if opcode and opcode[1] not in _FREE:
                target = re.search(r'custom_call_target="([^"]+)"', line)
                counts[target[1] if target else opcode[1]] += 1
    return counts
