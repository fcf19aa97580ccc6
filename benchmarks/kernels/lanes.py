"""gated_scan, matrix_scan, delta_scan and goom_scan against `lax.associative_scan` and `lax.scan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.case import worst_error
from cssm_kernels import delta_scan, gated_scan, goom_matrix_scan, goom_scan, matrix_scan

CHECKED_LANES = 32

Shape = tuple[int, ...]
Make = Callable[[np.random.Generator, Shape], np.ndarray]


def normal(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Complex, of variance 2."""
    return random.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]


def gate(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Real, in (0.1, 0.9)."""
    return 0.1 + 0.8 * random.random(shape, np.float32)


def decay(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Real, in (0.9, 1)."""
    return 0.9 + 0.1 * random.random(shape, np.float32)


def transition(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Complex, of modulus 0.5 to 0.95."""
    modulus = 0.5 + 0.45 * random.random(shape, np.float32)
    return (modulus * np.exp(2j * np.pi * random.random(shape, np.float32))).astype(np.complex64)


def small_matrix(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """k x k, of norm below one or so."""
    return normal(random, shape) * np.float32(0.4 / shape[-1])


def real(of: Make) -> Make:
    """The real part of what `of` makes."""
    return lambda random, shape: np.ascontiguousarray(of(random, shape).real)


def logarithm(of: Make) -> Make:
    """The complex logarithm of what `of` makes."""
    return lambda random, shape: np.log(of(random, shape)).astype(np.complex64)


def key(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Of length one."""
    return of_length_one(normal(random, shape))


def real_key(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Of length one."""
    return of_length_one(normal(random, shape).real)


def of_length_one(k: np.ndarray) -> np.ndarray:
    """Each vector, over its length."""
    return k / np.linalg.norm(k, axis=-1, keepdims=True)


@dataclass(frozen=True)
class LaneCase:
    """One call of an operation, all lanes of a result.

    Attributes:
      name: unique.
      operation: (*operands, **options of a contender) -> the result.
      of: what makes each operand, and its shape.
      lanes: the axis along which results are checked by a sample; no operand is broadcast along it.
      gradient: forward and the gradients of every operand; otherwise forward only.
      others: contenders more, with their options.
      left_out: contenders that would take too long.
      logarithms: results are compared as numbers.
    """

    name: str
    operation: Callable[..., Any]
    of: tuple[tuple[Make, Shape], ...]
    lanes: int
    gradient: bool
    others: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    left_out: tuple[str, ...] = ()
    logarithms: bool = False

    @property
    def bytes(self) -> int:
        """Operands and result; with the gradient those again and a gradient for each operand."""
        random = np.random.default_rng(0)
        operands = sum(int(np.prod(shape)) * make(random, (1,) * len(shape)).itemsize for make, shape in self.of)
        result = int(np.prod(self.result.shape)) * self.result.dtype.itemsize
        return operands + result + (2 * operands + result if self.gradient else 0)

    @property
    def result(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of y."""
        types = [
            jax.ShapeDtypeStruct(shape, make(np.random.default_rng(0), (1,) * len(shape)).dtype)
            for make, shape in self.of
        ]
        return jax.eval_shape(lambda *operands: self.operation(*operands, implementation="sequential"), *types)

    @property
    def contenders(self) -> Mapping[str, Mapping[str, Any]]:
        """Names, and the options of each."""
        named = {"native": None, "xla": "xla", "sequential": "sequential"}
        usual = {name: {"implementation": value} for name, value in named.items() if name not in self.left_out}
        return usual | dict(self.others)

    @property
    def triad(self) -> bool:
        """No."""
        return False

    def operands(self) -> tuple[Any, ...]:
        """The operands, and a cotangent."""
        random = np.random.default_rng(0)
        cotangent = normal if np.issubdtype(self.result.dtype, np.complexfloating) else real(normal)
        return tuple(jnp.asarray(make(random, shape)) for make, shape in (*self.of, (cotangent, self.result.shape)))

    def function(self, contender: str) -> Callable[..., Any]:
        """(*operands, ct) -> y, or (y, *gradients) for the cotangent ct."""
        return self._function(**self.contenders[contender])

    def _function(self, **options: Any) -> Callable[..., Any]:
        def forward(*operands: Any) -> Any:
            return self.operation(*operands, **options)

        if not self.gradient:
            return lambda *arguments: forward(*arguments[:-1])

        def forward_and_backward(*arguments: Any) -> Any:
            y, vjp = jax.vjp(forward, *arguments[:-1])
            return y, *vjp(arguments[-1])

        return forward_and_backward

    def error(self, got: Any, operands: tuple[Any, ...]) -> float:
        """Largest relative error against double precision, over evenly spread lanes."""
        chosen = np.linspace(0, self.result.shape[self.lanes] - 1, CHECKED_LANES, dtype=int)

        def sample(value: Any) -> np.ndarray:
            return np.take(np.asarray(value), np.unique(chosen), axis=self.lanes)

        with jax.enable_x64(True):
            wide = [jnp.asarray(v, np.complex128 if v.dtype.kind == "c" else np.float64) for v in map(sample, operands)]
            expected = jax.tree.leaves(jax.jit(self._function(implementation="sequential"))(*wide))
        expected, results = [np.asarray(v) for v in expected], [sample(v) for v in jax.tree.leaves(got)]
        if self.logarithms:
            results[0] = np.exp(results[0] - expected[0].real)
            expected[0] = np.exp(1j * expected[0].imag)
        return worst_error(results, expected)


PUBLISHED = (("published", MappingProxyType({"compat": True})),)
"""The scan of the published code on logarithms."""

CHUNKED = (("chunked", MappingProxyType({"implementation": "chunked"})),)
"""Matrix products over many steps at a time."""

CPU = (("cpu", MappingProxyType({"implementation": "cpu"})),)
"""The native kernel where None takes another."""


def _cases(gradient: bool) -> tuple[LaneCase, ...]:
    kind = "fwd_bwd" if gradient else "fwd"
    B, T, C, H, F = 8, 32, 64, 32, 17
    frequencies = (B, T, 1, H, F)
    cases = [
        LaneCase(
            f"gated-{B}x{T}x{C}x{H}x{F}-{kind}",
            lambda a, b, x, c, **options: gated_scan(a, b, x, c, axis=1, **options),
            ((transition, frequencies), (gate, frequencies), (normal, (B, T, C, H, F)), (gate, frequencies)),
            lanes=3,
            gradient=gradient,
        )
    ]
    T, D = 64, 8704
    for k in (2, 3):
        for steps, of_time in ((T, "varying"), (1, "constant")):
            cases.append(
                LaneCase(
                    f"matrix{k}-1x{T}x{D}-{of_time}-{kind}",
                    lambda A, x, **options: matrix_scan(A, x, axis=1, **options),
                    ((small_matrix, (1, steps, D, k, k)), (normal, (1, T, D, k))),
                    lanes=2,
                    gradient=gradient,
                )
            )
    B, T, heads, d = 8, 32, 16, 4
    lanes = (B, T, heads, H, F)
    cases.append(
        LaneCase(
            f"delta{d}-{B}x{T}x{heads}x{H}x{F}-{kind}",
            lambda a, beta, k, v, q, **options: delta_scan(a, beta, k, v, q, axis=1, **options),
            (
                (transition, lanes),
                (gate, frequencies),
                (key, (*lanes, d)),
                (normal, (*lanes, d)),
                (normal, (*lanes, d)),
            ),
            lanes=3,
            gradient=gradient,
        )
    )
    # Tokens: as of gdn_seq, with gates constant in time, and with few large heads, which None leaves to "chunked".
    for T, heads, d, gate_steps, others in ((32768, 16, 2, 1, CHUNKED), (4096, 4, 64, 4096, CPU)):
        cases.append(
            LaneCase(
                f"delta{d}-tokens-1x{T}x{heads}-{kind}",
                lambda a, beta, k, v, q, **options: delta_scan(a, beta, k, v, q, axis=1, **options),
                (
                    (decay, (1, gate_steps, heads)),
                    (gate, (1, gate_steps, heads)),
                    (real_key, (1, T, heads, d)),
                    (real(normal), (1, T, heads, d)),
                    (real(normal), (1, T, heads, d)),
                ),
                lanes=2,
                gradient=gradient,
                others=others,
                left_out=("xla",) if d == 64 else (),
            )
        )
    for T in (64, 256):
        cases.append(
            LaneCase(
                f"goom-{T}x17408-{kind}",
                lambda log_a, log_x, **options: goom_scan(log_a, log_x, **options),
                ((logarithm(transition), (T, 17408)), (logarithm(normal), (T, 17408))),
                lanes=1,
                gradient=gradient,
                others=PUBLISHED,
                logarithms=True,
            )
        )
    cases.append(
        LaneCase(
            f"goom_matrix2-1x64x8704-{kind}",
            lambda log_a, log_x, **options: goom_matrix_scan(log_a, log_x, axis=1, **options),
            ((logarithm(small_matrix), (1, 64, 8704, 2, 2)), (logarithm(normal), (1, 64, 8704, 2))),
            lanes=2,
            gradient=gradient,
            others=PUBLISHED,
            logarithms=True,
        )
    )
    return tuple(cases)


CASES = (*_cases(False), *_cases(True))
