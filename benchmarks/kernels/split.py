"""Operations on bfloat16 pairs against the same on complex64, and against XLA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.kernels import lanes, linear
from cssm_kernels import SplitComplex

PLANES = jnp.bfloat16


@dataclass(frozen=True)
class SplitCase:
    """A case in complex64 whose operands are rounded to what pairs hold.

    Attributes:
      of: the case. Its last operand is the cotangent.
    """

    of: linear.LinearCase | lanes.LaneCase

    @property
    def name(self) -> str:
        """E.g. split-complex64-64x17408-varying-fwd."""
        return f"split-{self.of.name}"

    @property
    def bytes(self) -> int:
        """Half of those of complex64."""
        return self.of.bytes // 2

    @property
    def contenders(self) -> Mapping[str, str]:
        """Names, and that contender of the case: native takes pairs, the others complex64."""
        return {"native": "native", "complex64": "native", "xla": "xla"}

    @property
    def triad(self) -> bool:
        """No."""
        return False

    def operands(self) -> tuple[Any, ...]:
        """(those of the case, the same as pairs). The cotangent of planes is the conjugate."""
        *pairs, ct = map(split, self.of.operands())
        whole = [v.to_complex() if isinstance(v, SplitComplex) else v.astype(jnp.float32) for v in (*pairs, ct)]
        return tuple(whole), (*pairs, SplitComplex(ct.re, -ct.im))

    def function(self, contender: str) -> Callable[..., Any]:
        """(operands, the same as pairs) -> y, or (y, *gradients)."""
        function = self.of.function(self.contenders[contender])
        return lambda whole, pairs: function(*(pairs if contender == "native" else whole))

    def error(self, got: Any, operands: tuple[Any, ...]) -> float:
        """Largest relative error against double precision; of pairs, what is beyond the rounding of the result."""
        whole, _ = operands
        y, *gradients = got if isinstance(got, tuple) else (got,)
        if not isinstance(y, SplitComplex):
            return self.of.error(got, whole)
        gradients = [jnp.conj(g.to_complex()) if isinstance(g, SplitComplex) else g for g in gradients]
        joined = jax.tree.map(lambda v: v.astype(jnp.promote_types(v.dtype, jnp.float32)), (y.to_complex(), *gradients))
        return max(0.0, self.of.error(joined, whole) - float(jnp.finfo(PLANES).eps) / 2)


def split(value: Any) -> Any:
    """A complex array as a pair; a real one as it is beside pairs."""
    return SplitComplex.from_complex(value, PLANES) if jnp.iscomplexobj(value) else value.astype(PLANES)


CASES = tuple(
    SplitCase(case)
    for case in (*linear.CASES, *lanes.CASES)
    if case.name.startswith("gated-")
    or (isinstance(case, linear.LinearCase) and case.dtype == "complex64" and case.varying)
)
