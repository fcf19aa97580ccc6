"""Progress while measuring and tables at the end."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.mechanism.records import OK, Row
from benchmarks.mechanism.tables import Table, number

PLAIN_WIDTH = 260


def console() -> Console:
    """Console on stdout; wide where stdout is no terminal, so that no table is folded."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH, highlight=False)


class Reporter:
    """A progress bar on a terminal, a line a cell elsewhere."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.progress = None
        if sys.stdout.isatty():
            # No refresh thread: it would run on the cores under test.
            self.progress = Progress(
                TextColumn("[bold]mechanism"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                auto_refresh=False,
            )
            self.task = self.progress.add_task("", total=total)

    def __enter__(self) -> Reporter:
        if self.progress is not None:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress is not None:
            self.progress.stop()

    def stage(self, text: str) -> None:
        """What is being done now."""
        if self.progress is not None:
            self.progress.update(self.task, description=text, refresh=True)

    def row(self, row: Row) -> None:
        """A cell is finished."""
        self.done += 1
        if self.progress is not None:
            self.progress.update(self.task, advance=1, refresh=True)
            return
        fwd, bwd = (
            f"{number(ms)} ms" if status == OK else status
            for ms, status in ((row.fwd_ms, row.status_fwd), (row.fwd_bwd_ms, row.status_bwd))
        )
        print(
            f"[{self.done}/{self.total}] {row.allocator} T={row.T_video} {row.series}: fwd {fwd}, fwd+bwd {bwd}",
            flush=True,
        )


def show(tables: list[Table]) -> None:
    """Print tables."""
    out = console()
    for table in tables:
        if not table.lines:
            continue
        rich = RichTable(title=table.title, title_justify="left", title_style="bold", caption=table.note or None)
        rich.add_column("", no_wrap=True)
        for column in table.columns:
            rich.add_column(column, justify="right", overflow="fold")
        for line in table.lines:
            style = "dim italic" if line.published else ""
            rich.add_row(Text(line.label), *map(Text, line.cells), style=style)
        out.print(rich)
        out.print()
