"""FLOPs and bytes of one forward call, stage by stage.

A stage is a submodule or a named part of a module's method, and each operation of ours is one of its own. Equations are
counted one by one, before the compiler fuses any: bytes are what each reads and writes, more than a compiled program moves.
Reshapes move nothing; an operation of ours reads and writes its operands and results and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from jax.extend.core import Literal

from cssm.describe import jax_costs, operation_costs
from cssm.describe.equations import Equation, equations

# What these read of their operand is as much as they return.
_READ_A_PART = {"slice", "dynamic_slice", "gather", "split"}
_MOVE_NOTHING = {"reshape", "squeeze", "expand_dims", "stop_gradient", "optimization_barrier"}


class Cost(NamedTuple):
    """Of one forward call."""

    flops: float
    nbytes: int


class Costs(NamedTuple):
    """{stage: its cost} in the order in which they are met, and {primitive: how often it runs} of those not counted."""

    stages: dict[str, Cost]
    not_counted: Counter[str]

    @property
    def total(self) -> Cost:
        return Cost(sum(cost.flops for cost in self.stages.values()), sum(cost.nbytes for cost in self.stages.values()))


def costs(apply: Callable[..., Any], *args: Any, root: str = "") -> Costs:
    """The costs of apply(*args), args being arrays or their shapes and dtypes; `root`: the name of the module's class.

    A primitive that no table has is in `not_counted`; its bytes are counted all the same.
    """
    stages: dict[str, Cost] = {}
    not_counted: Counter[str] = Counter()
    for equation in equations(apply, *args):
        flops = _flops(equation)
        if flops is None:
            not_counted[equation.name] += equation.times
        stage = stage_name(equation, root)
        before = stages.get(stage, Cost(0, 0))
        stages[stage] = Cost(
            before.flops + (flops or 0) * equation.times, before.nbytes + _nbytes(equation) * equation.times
        )
    return Costs({stage: cost for stage, cost in stages.items() if any(cost)}, not_counted)


def stage_name(equation: Equation, root: str) -> str:
    """Its scopes without the class names, `advance` and private methods that Flax puts in, nor the formulas that einsum
    does; then an operation of ours."""
    path: list[str] = []
    for scope in equation.scopes.split("/"):
        _, dot, name = scope.rpartition(".")
        is_internal = scope in ("", root) or "->" in scope or (dot and (name == "advance" or name.startswith("_")))
        if not is_internal and path[-1:] != [name]:
            path.append(name)
    if equation.name in operation_costs.COSTS and path[-1:] != [equation.name]:
        path.append(equation.name)
    return "/".join(path) or "."


def _flops(equation: Equation) -> float | None:
    """Of one run; None where no table has the primitive."""
    eqn = equation.eqn
    if equation.name in operation_costs.COSTS:
        values = iter(eqn.invars)
        operands = [next(values).aval if there else None for there in eqn.params["present"]]
        return operation_costs.COSTS[equation.name](operands, [out.aval for out in eqn.outvars], eqn.params)
    if equation.name in jax_costs.COSTS:
        return jax_costs.COSTS[equation.name](eqn)
    return None


def _nbytes(equation: Equation) -> int:
    """Of one run."""
    if equation.name in _MOVE_NOTHING:
        return 0
    results = sum(_size(out.aval) for out in equation.eqn.outvars)
    if equation.name in _READ_A_PART:
        return 2 * results
    read = dict.fromkeys(operand for operand in equation.eqn.invars if not isinstance(operand, Literal))
    return results + sum(_size(operand.aval) for operand in read)


def _size(aval: Any) -> int:
    return int(aval.size * aval.dtype.itemsize)
