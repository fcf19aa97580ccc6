"""The series under test and the panels that show them: a panel joins by an entry in PANELS, a series in SERIES."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from benchmarks.mechanism.options import Options


@dataclass(frozen=True)
class Series:
    """One line of a panel: a layer on one implementation.

    Attributes:
      cssm_type: key of the layer.
      name: display name.
      impl: column `impl`: 'native' (our fused kernel), 'unfused' (our kernels one by one), 'xla' (associative scan, or XLA
        alone) or 'sequential' (`lax.scan`).
      implementation: the same as the model takes it; None also for layers that use no operation of ours.
      core: sCSSM itself: comes before the others when time is short, and in short runs alone has the tuned allocator.
    """

    cssm_type: str
    name: str
    impl: str
    implementation: str | None
    core: bool = False

    @property
    def key(self) -> str:
        """Unique name."""
        return f"{self.cssm_type}:{self.impl}"


def _series(*series: Series) -> MappingProxyType[str, Series]:
    return MappingProxyType({one.key: one for one in series})


SERIES = _series(
    Series("no_gate_realspace_par", "CSSM (no FFT)", "xla", None),
    Series("no_gate_realspace_seq", "CSSM (sequential)", "xla", None),
    Series("realspace_exact_seq", "sCSSM recurrence in real space", "xla", None),
    Series("realspace_compact_seq", "compact K x K in real space", "xla", None),
    Series("direct_conv_seq", "CSSM (no space, sequential)", "sequential", None),
    Series("direct_conv_parallel", "CSSM (no space, Toeplitz)", "xla", None),
    Series("direct_conv_assoc", "CSSM (no space)", "xla", "xla"),
    Series("no_gate", "sCSSM, associative_scan", "xla", "xla", core=True),
    Series("no_gate", "sCSSM, lax.scan", "sequential", "sequential", core=True),
    Series("no_gate", "sCSSM, our transforms and scan", "unfused", "unfused", core=True),
    Series("no_gate", "Spectral CSSM (sCSSM), our kernel", "native", None, core=True),
    Series("gated", "Mamba-sCSSM", "native", None),
    Series("gdn", "GDN-sCSSM", "native", None),
    Series("s4nd_full", "S4ND", "native", None),
    Series("convs5", "ConvS5", "native", None),
    Series("spatial_attn", "Transformer", "xla", None),
    Series("mamba2_seq", "Mamba-2", "native", None),
    Series("gdn_seq", "GDN", "native", None),
)
"""All series."""

NATIVE = "no_gate:native"
ASSOCIATIVE = "no_gate:xla"


@dataclass(frozen=True)
class Panel:
    """A figure panel: its title and the keys of its series in the order they are prepared.

    The slowest baselines come first, so that one that has to be killed costs the least finished work; sCSSM comes last,
    ours before the others.
    """

    title: str
    series: tuple[str, ...]


_SCSSM = (NATIVE, "no_gate:unfused", ASSOCIATIVE, "no_gate:sequential")

PANELS = MappingProxyType(
    {
        "T": Panel(
            "Mechanism Validation",
            (
                "no_gate_realspace_par:xla",
                "no_gate_realspace_seq:xla",
                "realspace_exact_seq:xla",
                "realspace_compact_seq:xla",
                "direct_conv_seq:sequential",
                "direct_conv_parallel:xla",
                "direct_conv_assoc:xla",
                *_SCSSM,
            ),
        ),
        "B": Panel("Modularity", (*_SCSSM, "gated:native", "gdn:native")),
        "A": Panel(
            "Scalability Landscape",
            (
                "no_gate_realspace_seq:xla",
                "gdn_seq:native",
                "convs5:native",
                "mamba2_seq:native",
                "s4nd_full:native",
                "spatial_attn:xla",
                *_SCSSM,
            ),
        ),
        "C": Panel("Width scaling", ("gated:native",)),
    }
)

WIDTHS_OF_PANEL_C = (64, 128, 256, 512, 1024)
KERNEL_SIZE_OF_PANEL_T = 11


class Shape(NamedTuple):
    """What the cells of one group share: image side, width, frames, kernel size."""

    H: int
    C: int
    T: int
    K: int


@dataclass(frozen=True)
class Group:
    """Cells of one shape, measured interleaved."""

    shape: Shape
    series: tuple[str, ...]
    panels: tuple[tuple[str, ...], ...]
    """For each series the panels that show it: a cell shared by panels is measured once."""


def shapes(panel: str, options: Options) -> Iterator[Shape]:
    """The shapes of one panel, in the order they are measured."""
    if panel == "C":
        for width in WIDTHS_OF_PANEL_C:
            for side in options.hs:
                yield Shape(side, width, 1, options.kernel_size)
        return
    kernel_size = KERNEL_SIZE_OF_PANEL_T if panel == "T" else options.kernel_size
    for steps in options.theory_ts:
        yield Shape(options.theory_h, options.theory_c, steps, kernel_size)


def groups(options: Options, allocator: str) -> list[Group]:
    """All groups of a run under one allocator setting."""
    shown: dict[Shape, dict[str, list[str]]] = {}
    for panel in options.panels:
        for shape in shapes(panel, options):
            for key in PANELS[panel].series:
                if not SERIES[key].core and (
                    shape.T not in options.baseline_ts or (options.preset and allocator != options.allocators[0])
                ):
                    continue
                if options.series and not any(text in key for text in options.series):
                    continue
                shown.setdefault(shape, {}).setdefault(key, []).append(panel)
    ordered = sorted(shown, key=lambda shape: (shape.T, shape))
    return [
        Group(shape, tuple(shown[shape]), tuple(tuple(panels) for panels in shown[shape].values()))
        for shape in (ends_first(ordered) if options.preset == "quick" else ordered)
    ]


def ends_first(shapes: list[Shape]) -> list[Shape]:
    """The first, the last, then midpoints: a run that is cut short has a coarser curve, not a shorter one."""
    order, gaps = [0, len(shapes) - 1], [(0, len(shapes) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        middle = (low + high) // 2
        if low < middle < high:
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [shapes[index] for index in dict.fromkeys(order) if shapes]
