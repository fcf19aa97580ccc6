"""What each operation can do, found by trying: `python -m tests.properties` writes README's table of operations from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import cssm_kernels
from cssm_kernels.coupled_scan.op import IMPLEMENTATIONS as OF_COUPLED
from cssm_kernels.delta_scan.op import IMPLEMENTATIONS as OF_DELTA
from cssm_kernels.gated_scan.op import IMPLEMENTATIONS as OF_GATED
from cssm_kernels.goom_scan.op import IMPLEMENTATIONS as OF_GOOM
from cssm_kernels.linear_scan.op import IMPLEMENTATIONS as OF_LINEAR
from cssm_kernels.matrix_scan.op import IMPLEMENTATIONS as OF_MATRIX
from cssm_kernels.spectral_scan.op import IMPLEMENTATIONS as OF_SPECTRAL

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- properties: python -m tests.properties -->\n", "<!-- /properties -->\n"
BATCH, STEPS, CUT = 4, 6, 2
DTYPES = {
    "float32": "f32",
    "float64": "f64",
    "complex64": "c64",
    "complex128": "c128",
    "bfloat16": "bf16",
    "float16": "f16",
}
ON_CUDA = {"triton": "Triton", "cuda": "CUDA C++"}


@dataclass(frozen=True)
class Probe:
    """An operation on sequences (BATCH, STEPS, ...).

    Attributes:
      run: (h0 or None, *operands, **options) -> (y, final).
      shapes: of the operands beyond batch and time; those of `constant` have neither.
      dtype: one that every property is tried in.
      logarithms: operands are logarithms.
    """

    run: Callable[..., tuple[Any, Any]]
    shapes: tuple[tuple[int, ...], ...]
    implementations: tuple[str, ...]
    dtype: str = "float64"
    constant: tuple[int, ...] = ()
    logarithms: bool = False

    def operands(self, dtype: str, seed: int = 0) -> tuple[Any, ...]:
        """Of modulus 0.3 to 0.6; what is constant is a half-spectrum."""
        rng = np.random.default_rng(seed)

        def values(i: int, shape: tuple[int, ...]) -> Any:
            shape = shape if i in self.constant else (BATCH, STEPS, *shape)
            z = rng.uniform(0.3, 0.6, shape) * np.exp(2j * np.pi * rng.random(shape))
            z = np.log(z) if self.logarithms else z
            if i in self.constant:
                return jnp.asarray(z, "complex128" if dtype == "float64" else "complex64")
            return jnp.asarray(z if "complex" in dtype else z.real).astype(dtype)

        return tuple(values(i, shape) for i, shape in enumerate(self.shapes))

    def part(self, operands: tuple[Any, ...], steps: slice) -> tuple[Any, ...]:
        """Some steps of the operands."""
        return tuple(v if i in self.constant else v[:, steps] for i, v in enumerate(operands))


def _of(function: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    return lambda h0, *operands, **options: function(*operands, h0, axis=1, return_final=True, **options)


def _spectral(h0: Any, x: Any, k_hat: Any, **options: Any) -> tuple[Any, Any]:
    return cssm_kernels.spectral_scan(x, k_hat, h0, return_final=True, **options)


def _coupled(G: Any, *operands: Any, **options: Any) -> tuple[Any, Any]:
    """Of a real G, whatever the others are."""
    G = G if isinstance(G, cssm_kernels.SplitComplex) else jnp.real(G)
    return cssm_kernels.coupled_scan(G, *operands, **options)


PROBES = {
    "linear_scan": Probe(_of(cssm_kernels.linear_scan), ((3,), (3,)), OF_LINEAR),
    "gated_scan": Probe(_of(cssm_kernels.gated_scan), ((3,),) * 4, OF_GATED),
    "matrix_scan": Probe(_of(cssm_kernels.matrix_scan), ((3, 2, 2), (3, 2)), OF_MATRIX),
    "coupled_scan": Probe(_of(_coupled), ((3, 2, 2), (3, 2, 2), (3, 2), (3, 2), (3, 2)), OF_COUPLED),
    "delta_scan": Probe(_of(cssm_kernels.delta_scan), ((3,), (3,), (3, 2), (3, 2), (3, 2)), OF_DELTA),
    "goom_scan": Probe(_of(cssm_kernels.goom_scan), ((3,), (3,)), OF_GOOM, "complex128", logarithms=True),
    "goom_matrix_scan": Probe(
        _of(cssm_kernels.goom_matrix_scan), ((3, 2, 2), (3, 2)), OF_GOOM, "complex128", logarithms=True
    ),
    "spectral_scan": Probe(_spectral, ((4, 4, 3), (4, 3, 3)), OF_SPECTRAL, constant=(1,)),
}


def _close(actual: Any, expected: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-9, 1e-9), actual, expected)


def on_cpu(probe: Probe) -> str:
    """What runs on the CPU."""
    text = jax.jit(lambda *o: probe.run(None, *o)).lower(*probe.operands(probe.dtype)).as_text()
    return "native" if "@cssm_" in text else "XLA"


def on_cuda(probe: Probe) -> str:
    """What runs on CUDA."""
    return next((ON_CUDA[name] for name in probe.implementations if name in ON_CUDA), "XLA")


def dtypes(probe: Probe) -> str:
    """Those taken."""

    def taken(dtype: str) -> bool:
        try:
            y, _ = probe.run(None, *probe.operands(dtype))
        except TypeError:
            return False
        assert y.dtype == dtype
        return True

    return " ".join(short for name, short in DTYPES.items() if taken(name))


def pairs(probe: Probe) -> bool:
    """Complex numbers as pairs of bfloat16, rounded once."""
    operands = [cssm_kernels.SplitComplex.from_complex(v) for v in probe.operands("complex64")]
    try:
        y, _ = probe.run(None, *operands)
    except TypeError:
        return False
    exact, _ = probe.run(None, *(v.to_complex() for v in operands))
    np.testing.assert_allclose(y.to_complex(), exact, 2.0**-8, 1e-6)
    return True


def carried_on(probe: Probe) -> bool:
    """Cut anywhere, and carried on from the final state."""
    operands = probe.operands(probe.dtype)
    whole, final = probe.run(None, *operands)
    first, state = probe.run(None, *probe.part(operands, slice(CUT)))
    second, last = probe.run(state, *probe.part(operands, slice(CUT, None)))
    _close((jnp.concatenate([first, second], 1), last), (whole, final))
    return True


def reverse(probe: Probe) -> bool:
    """Backwards in time."""
    operands = probe.operands(probe.dtype)
    flipped = probe.part(operands, slice(None, None, -1))
    _close(probe.run(None, *operands, reverse=True)[0][:, ::-1], probe.run(None, *flipped)[0])
    return True


def reset(probe: Probe) -> bool:
    """Packed sequences."""
    operands = probe.operands(probe.dtype)
    flags = jnp.arange(STEPS) == CUT
    alone, _ = probe.run(None, *probe.part(operands, slice(CUT, None)))
    _close(probe.run(None, *operands, reset=flags)[0][:, CUT:], alone)
    return True


def both_modes(probe: Probe) -> bool:
    """jvp and vjp are each other's transpose, to second order."""

    def gradient(*operands: Any) -> Any:
        def loss(*operands: Any) -> Any:
            y, _ = probe.run(None, *operands)
            return jnp.sum(jnp.real(y * y))

        return jax.grad(loss, tuple(range(len(operands))))(*operands)

    operands, u, v = (probe.operands(probe.dtype, seed) for seed in range(3))
    y, dy = jax.jvp(lambda *o: probe.run(None, *o)[0], operands, u)
    first = jnp.sum(jnp.real(2 * y * dy))
    _close(_paired(gradient(*operands), u), first)
    along = jax.jit(lambda d: jax.jvp(gradient, operands, d)[1])
    _close(_paired(along(u), v), _paired(along(v), u))
    return True


def _paired(gradient: Any, direction: Any) -> Any:
    """The derivative along a direction, in JAX's convention for complex numbers."""
    return sum(jnp.sum(jnp.real(g * d)) for g, d in zip(gradient, direction))


def vmap(probe: Probe) -> bool:
    """Under vmap."""
    operands = probe.operands(probe.dtype)
    stacked = [jnp.stack([v, 0.5 * v]) for v in operands]
    actual = jax.vmap(lambda *o: probe.run(None, *o)[0])(*stacked)
    _close(actual[1], probe.run(None, *(v[1] for v in stacked))[0])
    return True


def sharded(probe: Probe) -> bool:
    """Sharded jit gathers nothing."""
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    operands = probe.operands(probe.dtype)
    specs = [PartitionSpec() if i in probe.constant else PartitionSpec("d") for i in range(len(operands))]
    placed = [jax.device_put(v, NamedSharding(mesh, spec)) for v, spec in zip(operands, specs)]
    compiled = jax.jit(lambda *o: probe.run(None, *o)[0]).lower(*placed).compile()
    _close(compiled(*placed), probe.run(None, *operands)[0])
    return "all-gather" not in compiled.as_text()


def exported(probe: Probe) -> bool:
    """jax.export, through bytes."""
    operands = probe.operands(probe.dtype)
    run = jax.jit(lambda *o: probe.run(None, *o)[0])
    program = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(*operands)
    _close(jax.export.deserialize(program.serialize()).call(*operands), run(*operands))
    return True


PROPERTIES = {
    "CPU": on_cpu,
    "CUDA": on_cuda,
    "dtypes": dtypes,
    "SplitComplex": pairs,
    "cut and carried on": carried_on,
    "reverse": reverse,
    "reset": reset,
    "jvp, vjp, second order": both_modes,
    "vmap": vmap,
    "sharded jit": sharded,
    "export": exported,
}


def table() -> str:
    """The table of operations."""
    lines = [["", *PROPERTIES], ["---"] * (len(PROPERTIES) + 1)]
    for name, probe in PROBES.items():
        found = (find(probe) for find in PROPERTIES.values())
        lines.append([f"`{name}`", *(value if isinstance(value, str) else "yes" if value else "no" for value in found)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_table(readme: str, new: str) -> str:
    """README with this table between its marks."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + new + END + rest.split(END)[1]


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", 4)
    found = table()
    README.write_text(with_table(README.read_text(), found))
