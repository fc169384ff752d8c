"""How long jobs say where they are: one callback, shown as a bar or as log lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Called with the stage's name, units done, units in all, and figures worth showing."""

    def __call__(
        self, stage: str, done: int, total: int, figures: Mapping[str, float] | None = None
    ) -> None: ...


def silent(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
    """Show nothing."""


def labelled(label: str, progress: Progress) -> Progress:
    """The same, each stage named after what it is part of."""

    def report(
        stage: str, done: int, total: int, figures: Mapping[str, float] | None = None
    ) -> None:
        progress(f"{label}: {stage}", done, total, figures)

    return report


class LogLines:
    """On standard error, one line at most every ``every`` seconds, for logs and pipes."""

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self._last: dict[str, float] = {}

    def __call__(
        self, stage: str, done: int, total: int, figures: Mapping[str, float] | None = None
    ) -> None:
        now = time.monotonic()
        if done < total and now - self._last.get(stage, -1e9) < self.every:
            return
        self._last[stage] = now
        shown = "  ".join(f"{name} {value:.4g}" for name, value in (figures or {}).items())
        clock = time.strftime("%H:%M:%S")
        line = f"{clock}  {stage}  {done:,}/{total:,}  {shown}".rstrip()
        print(line, file=sys.stderr, flush=True)


@contextmanager
def console() -> Iterator[Progress]:
    """A live bar a stage on a terminal, log lines elsewhere."""
    if not sys.stderr.isatty():
        yield LogLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def report(
            stage: str, done: int, total: int, figures: Mapping[str, float] | None = None
        ) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, figures="")
            shown = "  ".join(f"{name} {value:,.4g}" for name, value in (figures or {}).items())
            bars.update(tasks[stage], completed=done, total=total, figures=shown)  # type: ignore[arg-type]

        yield report
