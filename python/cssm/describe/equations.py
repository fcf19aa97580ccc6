"""The equations of a function's jaxpr, those of the functions it calls among them, each with its place in the module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.interpreters import partial_eval

# Where an equation stands for another jaxpr: the param that holds it.
_CALLS = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "scan": "jaxpr",
}


class Equation(NamedTuple):
    """An equation of a jaxpr, how often it runs, and the scopes it was traced in, "/" between them."""

    eqn: Any
    times: int
    scopes: str

    @property
    def name(self) -> str:
        """Of its primitive."""
        return self.eqn.primitive.name


def equations(function: Callable[..., Any], *args: Any) -> Iterator[Equation]:
    """Those that the results of function(*args) need; args may be shapes and dtypes.

    The body of a `lax.scan` comes once, with its number of steps. Conditionals and while loops, whose course is not known,
    come as one equation.
    """
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    yield from _walk(partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0], 1, "")


def _walk(jaxpr: Any, times: int, outer: str) -> Iterator[Equation]:
    for eqn in jaxpr.eqns:
        scopes = "/".join(filter(None, (outer, str(eqn.source_info.name_stack))))
        name = eqn.primitive.name
        if name in _CALLS:
            inner = eqn.params[_CALLS[name]]
            # Closed jaxprs hold one; that of remat is open.
            yield from _walk(getattr(inner, "jaxpr", inner), times * eqn.params.get("length", 1), scopes)
        else:
            yield Equation(eqn, times, scopes)
