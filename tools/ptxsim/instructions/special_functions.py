"""Square roots, reciprocals and transcendental functions. Approximate forms are computed in float64 and rounded once:
the hardware's own errors (a few units in the last place, MUFU) are not modelled."""

from collections.abc import Callable

import numpy as np

from tools.ptxsim import rounding
from tools.ptxsim.decoder import Decoder, Step, instruction
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.floating import ROUNDINGS, as_stored
from tools.ptxsim.instructions.steps import compute

_FUNCTIONS: dict[str, Callable] = {
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "rcp": lambda x: 1 / x,
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
}


@instruction(*_FUNCTIONS)
def _function(d: Decoder) -> Step:
    type_, name = d.type(), d.inst.opcode
    function = _FUNCTIONS[name]
    mode = d.choose(*ROUNDINGS)
    approximate, ftz = d.flag("approx"), d.flag("ftz")
    if mode is None and not approximate:
        raise UnsupportedInstruction("neither a rounding mode nor .approx")
    target, source = d.destination(0, type_), d.source(1, type_)
    dtype = np.dtype(np.float32) if type_.is_bfloat else type_.dtype
    if dtype == np.float64 and mode not in (None, "rn"):
        raise UnsupportedInstruction(f"{name}.{mode}.f64")

    def operation(x: np.ndarray) -> np.ndarray:
        if ftz and dtype == np.float32:
            x = rounding.flush(x)
        exact = function(np.asarray(x).astype(np.float64))
        if dtype == np.float32:
            result = rounding.odd32(exact) if type_.is_bfloat else rounding.narrow32(exact, mode or "rn")
            return rounding.flush(result) if ftz else result
        return exact.astype(dtype)

    return compute(as_stored(operation, type_), target, [source], type_.pack)
