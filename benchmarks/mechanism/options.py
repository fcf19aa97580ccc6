"""Command line of the suite."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks import platforms
from benchmarks.environment import ALLOCATORS

DEFAULTS: dict[str, Any] = {
    "theory_h": 32,
    "theory_c": 32,
    "theory_ts": (8, 16, 32, 64, 128, 256, 512, 1024),
    "warmup": 5,
    "repeats": 20,
    "retries": 5,
    "cell_timeout": 1800.0,
    "cell_budget": 600.0,
    "budget": 24 * 3600.0,
    "loop_below": 3600.0,
}
QUICK: dict[str, Any] = {
    "baseline_ts": (8, 64),
    "warmup": 1,
    "repeats": 4,
    "retries": 3,
    "cell_timeout": 40.0,
    "cell_budget": 15.0,
    "budget": 295.0,
    "loop_below": 0.005,
}
SMOKE: dict[str, Any] = {
    "theory_h": 8,
    "theory_c": 4,
    "theory_ts": (8, 16),
    "warmup": 1,
    "repeats": 2,
    "retries": 1,
    "cell_timeout": 60.0,
    "cell_budget": 30.0,
    "budget": 240.0,
    "loop_below": 0.0,
}
PRESETS = {"": {}, "quick": QUICK, "smoke": SMOKE}


@dataclass(frozen=True)
class Options:
    """What to measure, how long, and where to put it. See `parser` for the meaning of each."""

    panels: tuple[str, ...]
    preset: str
    hs: tuple[int, ...]
    theory_h: int
    theory_c: int
    theory_ts: tuple[int, ...]
    baseline_ts: tuple[int, ...]
    series: tuple[str, ...]
    kernel_size: int
    depth: int
    batch: int
    dtype: str
    random_video: bool
    frame_readout: str
    platform: str
    allocators: tuple[str, ...]
    warmup: int
    repeats: int
    retries: int
    loop_below: float
    cell_timeout: float
    cell_budget: float
    budget: float
    out: Path
    csv: Path
    fig: Path | None
    from_csv: Path | None
    resume: bool
    append: bool
    run_id: int

    def to_json(self) -> dict[str, Any]:
        """The options as JSON values."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Options:
        """Inverse of `to_json`."""
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        for name in ("out", "csv", "fig", "from_csv"):
            values[name] = None if values[name] is None else Path(values[name])
        return cls(**values)

    @property
    def input(self) -> str:
        """Column `input`."""
        return "random_video" if self.random_video else "image"


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.mechanism", description="Mechanism-validation suite.")
    what = result.add_argument_group("what is measured")
    preset = what.add_mutually_exclusive_group()
    preset.add_argument(
        "--quick", dest="preset", action="store_const", const="quick", default="", help="under 6 minutes on two cores"
    )
    preset.add_argument(
        "--smoke", dest="preset", action="store_const", const="smoke", help="seconds; H=8, C=4, T=8,16; for CI"
    )
    what.add_argument("--panels", type=_names(("A", "B", "C", "T")), default=("T",), help="comma-separated panels (T)")
    what.add_argument("--layout", choices=("main", "width"), default="main", help="width: panel C alone")
    what.add_argument("--hs", type=integers, default=(8, 16, 32, 64, 128, 256), help="image sides of panel C")
    what.add_argument("--embed_dim", type=_positive, help="ignored, as in the reference: the width is --theory_c")
    what.add_argument("--theory_h", type=_positive, help="H = W of panels T, B, A (32, as published for panel T)")
    what.add_argument("--theory_c", type=_positive, help="channels of panels T, B, A (32)")
    what.add_argument("--theory_ts", type=integers, help="frames T (8,16,...,1024)")
    what.add_argument(
        "--baseline_ts", type=integers, help="those T at which series other than sCSSM are measured (all)"
    )
    what.add_argument(
        "--series", type=_texts, default=(), metavar="TEXTS", help="only series whose key contains one of these"
    )
    what.add_argument("--kernel_size", type=_positive, default=11, help="K of panels A, B, C; panel T has 11")
    what.add_argument("--depth", type=_positive, default=1, help="blocks")
    what.add_argument("--batch", type=_positive, default=1)
    what.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32", help="dtype of the input only")
    what.add_argument("--random_video", action="store_true", help="independent frames instead of one image repeated")
    what.add_argument("--frame_readout", choices=("last", "all"), default="last")
    what.add_argument("--platform", choices=platforms.PLATFORMS, default=platforms.AUTO, help=platforms.HELP)
    what.add_argument(
        "--allocators",
        type=_names(tuple(ALLOCATORS)),
        help="malloc settings, of default, tuned, one_arena (default,tuned; on a GPU, which has no use for it, default)",
    )
    how = result.add_argument_group("how long")
    how.add_argument("--warmup", type=_natural, help="untimed calls before each retry (5)")
    how.add_argument("--repeats", type=_positive, help="timed calls of each retry (20)")
    how.add_argument("--retries", type=_positive, help="independent repetitions (5)")
    how.add_argument("--loop_below", type=float, metavar="S", help="take device time of calls shorter than this")
    how.add_argument("--cell_budget", type=float, metavar="S", help="skip a cell expected to need longer")
    how.add_argument("--cell_timeout", type=float, metavar="S", help="kill a compilation or call that takes longer")
    how.add_argument("--budget", type=float, metavar="S", help="time for the whole run")
    where = result.add_argument_group("input and output")
    where.add_argument("--out", type=Path, default=Path("results/mechanism"), help="folder of all outputs")
    where.add_argument("--csv", type=Path, help="the CSV (OUT/mechanism.csv)")
    where.add_argument("--fig", type=Path, help="also write the figure here, as PDF")
    where.add_argument(
        "--from-csv", dest="from_csv", type=Path, metavar="PATH", help="measure nothing, render this CSV"
    )
    where.add_argument(
        "--resume", action="store_true", help="keep the cells of this run id that are ok, measure the others"
    )
    where.add_argument("--append", action="store_true", help="add to the CSV instead of starting a new one")
    where.add_argument("--run-id", dest="run_id", type=_positive, default=1)
    return result


def parse(argv: list[str] | None = None) -> Options:
    """Options of a command line."""
    cli = parser()
    arguments = vars(cli.parse_args(argv))
    chosen = DEFAULTS | PRESETS[arguments["preset"]]
    for name, value in chosen.items():
        if arguments[name] is None:
            arguments[name] = value
    if arguments["baseline_ts"] is None:
        arguments["baseline_ts"] = (1, *arguments["theory_ts"])
    if arguments["csv"] is None:
        arguments["csv"] = arguments["out"] / "mechanism.csv"
    if arguments["layout"] == "width":
        arguments["panels"] = ("C",)
    if arguments["embed_dim"] is not None:
        print("--embed_dim is ignored, as in the reference: the width is --theory_c")
    if arguments["from_csv"] is not None and not arguments["from_csv"].is_file():
        cli.error(f"--from-csv is {arguments['from_csv']}, which is no file; expected a CSV of this suite")
    if arguments["from_csv"] is None:
        try:
            arguments["platform"] = platforms.resolve(arguments["platform"])
        except ValueError as error:
            cli.error(str(error))
    if arguments["allocators"] is None:
        arguments["allocators"] = ("default",) if arguments["platform"] == platforms.CUDA else ("default", "tuned")
    return Options(**{field.name: arguments[field.name] for field in fields(Options)})


def _names(allowed: tuple[str, ...]):
    def convert(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        unknown = [name for name in names if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(allowed)}")
        return names

    return convert


def _texts(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def integers(text: str) -> tuple[int, ...]:
    """Positive integers, comma-separated, ascending."""
    return tuple(sorted({_positive(part) for part in text.split(",")}))
