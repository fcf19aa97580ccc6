"""Grids of runs, from small YAML files.

A file has:

  count    how many runs it expands to; checked where given
  command  of the trainer, a list of words ([cssm, train])
  floor    the smallest batch after running out of memory (8)
  common   arguments of every run, `flag: value`
  blocks   a list; a block's runs are the product of `cases`, a list of arguments that go together, and `grid`, a list
           of values for each flag; `args` holds what they share; `name` is a template of names, `{cssm}_e{embed_dim}`

Later arguments replace earlier ones: common, args, cases, grid. A value is a number, text, true (a flag without a value) or
false (no flag); `${girik}` in it stands for a path of the machine that runs it. `lr: 1e-3` is text in YAML 1.1, and so it
stays.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

Value = str | int | float | bool

FOLDER = Path(__file__).with_name("grids")
COMMAND = ("cssm", "train")
FLOOR = 8
SWEEP_KEYS = ("count", "command", "floor", "common", "blocks")
BLOCK_KEYS = ("name", "args", "cases", "grid")
FLAG = re.compile(r"[a-z][a-z0-9_]*")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")  # of a file and of a directory
OWN_FLAGS = ("run_name", "checkpoint_dir", "grad_accum")  # those the runner gives


@dataclass(frozen=True)
class Run:
    """One run: its name, its batch size before any is halved, and its other arguments."""

    name: str
    batch: int
    args: Mapping[str, Value]

    def flags(self, paths: Mapping[str, str]) -> list[str]:
        """The arguments as words of a command line, with `paths` in place of their `${name}`; unknown names stay."""
        words = []
        for flag, value in self.args.items():
            if isinstance(value, bool):
                words += [f"--{flag}"] if value else []
            else:
                words += [f"--{flag}", Template(str(value)).safe_substitute(paths)]
        return words

    def placeholders(self) -> set[str]:
        """The names of `${name}` in the arguments."""
        return {name for value in self.args.values() for name in Template(str(value)).get_identifiers()}


@dataclass(frozen=True)
class Sweep:
    """A grid as read: its name, the trainer's command, the smallest batch, and its runs in order."""

    name: str
    command: tuple[str, ...]
    floor: int
    runs: tuple[Run, ...]


class GridError(ValueError):
    """The message names the file, the block and the key."""


def published() -> list[str]:
    """Names of the published sweeps, whose files come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(grid: str) -> Path:
    """The file of a published sweep's name, or of a path.

    Raises:
      GridError: neither.
    """
    if grid in published():
        return FOLDER / f"{grid}.yaml"
    if Path(grid).is_file():
        return Path(grid)
    raise GridError(f"got {grid!r}, expected a file or one of {', '.join(published())}")


def load(path: Path) -> Sweep:
    """Reads and expands a grid.

    Raises:
      GridError: not the form above, two runs of one name, or another number of runs than `count`.
    """
    document = _parse(path)
    _check_keys(str(path), document, SWEEP_KEYS)
    command = document.get("command", list(COMMAND))
    if not (isinstance(command, list) and command and all(isinstance(word, str) for word in command)):
        raise GridError(f"{path}: command: got {command!r}, expected a list of words")
    common = _args(f"{path}: common", document.get("common", {}))
    blocks = document.get("blocks")
    if not (isinstance(blocks, list) and blocks):
        raise GridError(f"{path}: blocks: got {blocks!r}, expected a list of blocks")
    runs: dict[str, Run] = {}
    for i, block in enumerate(blocks):
        where = f"{path}: blocks[{i}]"
        for run in _expand(where, common, block):
            if run.name in runs:
                raise GridError(
                    f"{where}: name: {run.name!r} names two runs; expected a template that tells them apart"
                )
            runs[run.name] = run
    count = document.get("count", len(runs))
    if count != len(runs):
        raise GridError(f"{path}: count: got {count!r}, and the blocks expand to {len(runs)} runs")
    return Sweep(
        path.stem, tuple(command), _positive(f"{path}: floor", document.get("floor", FLOOR)), tuple(runs.values())
    )


def with_args(run: Run, where: str, args: Mapping[str, Any]) -> Run:
    """The run with other arguments, under its name; `where` is what errors call them.

    Raises:
      GridError: not flags and values.
    """
    args = {**run.args, "batch_size": run.batch, **_args(where, args)}
    batch = _positive(f"{where}: batch_size", args.pop("batch_size"))
    return Run(run.name, batch, args)


def _parse(path: Path) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key given twice, of which YAML would take the last."""

        def flatten_mapping(self, node: Any) -> None:
            keys = [key.value for key, _ in node.value if key.value != "<<"]
            for key in keys:
                if keys.count(key) > 1:
                    raise GridError(f"{path}: line {node.start_mark.line + 1}: the key {key!r} is given twice")
            super().flatten_mapping(node)  # what `<<` brings comes first, and the mapping's own keys after it
            node.value = list({key.value: (key, value) for key, value in node.value}.values())

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader)
    except yaml.YAMLError as error:
        raise GridError(f"{path}: not YAML: {error}") from error


def _expand(where: str, common: Mapping[str, Value], block: Any) -> Iterator[Run]:
    _check_keys(where, block, BLOCK_KEYS)
    template = block.get("name")
    if not isinstance(template, str):
        raise GridError(f"{where}: name: got {template!r}, expected a template such as '{{cssm}}_e{{embed_dim}}'")
    args = _args(f"{where}: args", block.get("args", {}))
    cases = block.get("cases", [{}])
    if not (isinstance(cases, list) and cases):
        raise GridError(f"{where}: cases: got {cases!r}, expected a list of arguments that go together")
    cases = [_args(f"{where}: cases[{i}]", case) for i, case in enumerate(cases)]
    axes = block.get("grid", {})
    _check_flags(f"{where}: grid", axes)
    for flag, values in axes.items():
        if not (isinstance(values, list) and values):
            raise GridError(f"{where}: grid: {flag}: got {values!r}, expected a list of values")
    for case, values in itertools.product(cases, itertools.product(*axes.values())):
        point = _args(f"{where}: grid", dict(zip(axes, values)))
        yield _run(where, template, {**common, **args, **case, **point})


def _run(where: str, template: str, args: dict[str, Value]) -> Run:
    try:
        name = template.format_map(
            {flag: int(value) if isinstance(value, bool) else value for flag, value in args.items()}
        )
    except KeyError as error:
        raise GridError(f"{where}: name: {template!r} names {error}, which is no argument of the block") from error
    except (ValueError, IndexError, AttributeError) as error:
        raise GridError(f"{where}: name: {template!r} is not a template: {error}") from error
    if not NAME.fullmatch(name):
        raise GridError(f"{where}: name: got {name!r}, expected letters, digits and _ . + -")
    if "batch_size" not in args:
        raise GridError(f"{where}: batch_size: missing from common, args, cases and grid")
    batch = _positive(f"{where}: batch_size", args.pop("batch_size"))
    return Run(name, batch, args)


def _args(where: str, args: Any) -> dict[str, Value]:
    _check_flags(where, args)
    for flag, value in args.items():
        if not isinstance(value, Value):
            raise GridError(f"{where}: {flag}: got {value!r}, expected a number, text, true or false")
    return dict(args)


def _check_flags(where: str, args: Any) -> None:
    if not isinstance(args, dict):
        raise GridError(f"{where}: got {args!r}, expected flag: value")
    for flag in args:
        if not (isinstance(flag, str) and FLAG.fullmatch(flag)):
            raise GridError(f"{where}: {flag}: expected a flag without its dashes, such as embed_dim")
        if flag in OWN_FLAGS:
            raise GridError(f"{where}: {flag}: the runner gives this flag; expected the grid to leave it out")


def _check_keys(where: str, mapping: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(mapping, dict):
        raise GridError(f"{where}: got {mapping!r}, expected a mapping of {', '.join(keys)}")
    for key in mapping:
        if key not in keys:
            raise GridError(f"{where}: {key}: unknown key, expected one of {', '.join(keys)}")


def _positive(where: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise GridError(f"{where}: got {value!r}, expected a positive integer")
    return value
