"""The description as text: aligned tables of parameters and of stages."""

from __future__ import annotations

from collections.abc import Sequence

from cssm.describe.stages import Costs, costs
from cssm.describe.subject import Subject
from cssm.describe.tree import leaves

_NOTE = """\
FLOPs: real additions, multiplications and elementary functions, one each; 5 n log2 n a complex transform of n points.
Bytes: read and written by each equation before the compiler fuses any; by an operation of ours, its operands and results."""


def report(subject: Subject) -> str:
    """The tree of each collection of variables, and FLOPs and bytes of one forward call by stage."""
    x = subject.x
    parts = [f"{subject.title}, x {_shape(x.shape)} {x.dtype}"]
    parts += [_tree(collection, tree) for collection, tree in subject.variables.items()]
    parts.append(_stages(costs(subject.apply, subject.variables, x, root=type(subject.module).__name__)))
    return "\n\n".join(parts)


def _tree(collection: str, tree: object) -> str:
    rows = [(leaf.path, _shape(leaf.shape), str(leaf.dtype), f"{leaf.size:,}") for leaf in leaves(tree)]
    total = (
        "total",
        "",
        f"{sum(leaf.nbytes for leaf in leaves(tree)):,} bytes",
        f"{sum(leaf.size for leaf in leaves(tree)):,}",
    )
    return table([(collection, "shape", "dtype", "count"), *rows, total], "<<<>")


def _stages(found: Costs) -> str:
    rows = [(stage, f"{cost.flops:,.0f}", f"{cost.nbytes:,}") for stage, cost in found.stages.items()]
    total = ("total", f"{found.total.flops:,.0f}", f"{found.total.nbytes:,}")
    lines = [table([("forward, by stage", "FLOPs", "bytes"), *rows, total], "<>>"), "", _NOTE]
    if found.not_counted:
        names = ", ".join(f"{name} ({times} times)" for name, times in found.not_counted.items())
        lines.append(f"FLOPs not counted: {names}")
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]], alignment: str) -> str:
    """Rows of text, the first a heading and the last a total, in columns aligned left (<) or right (>)."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, alignment, widths)).rstrip() for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
