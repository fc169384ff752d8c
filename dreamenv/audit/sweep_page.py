"""A sweep as a table and a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dreamenv.audit.bootstrap import Interval
from dreamenv.audit.plots import DREAM, REAL, STILL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dreamenv.audit.sweep import Sweep


def table(found: Sweep) -> str:
    """Markdown: a row a value, the random policy below."""
    knob = found.config.knob.replace("_", " ")
    rows = [
        f"| {shown(p.value)} | {_cell(p.dream)} ± {p.dream_std:.0f} "
        f"| {_cell(p.real)} ± {p.real_std:.0f} | {p.word} |"
        for p in found.points
    ]
    return "\n".join(
        [
            f"| {knob} | in the dream | in the real env | verdict |",
            "| --- | --- | --- | --- |",
            *rows,
            f"| random actions | | {_cell(found.random)} ± {found.random_std:.0f} | |",
            "",
            "Mean [95% interval] ± standard deviation over episodes; "
            f"{found.config.seeds} policies a row, {found.config.episodes} episodes each.",
            "",
        ]
    )


def draw(found: Sweep) -> Figure:
    """Dream and real return against the knob, each with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(found.points))
    for name, colour, shift in (("dream", DREAM, -0.06), ("real", REAL, 0.06)):
        series = [getattr(p, name) for p in found.points]
        middle = np.array([s.value for s in series])
        ends = np.array([[s.value - s.low, s.high - s.value] for s in series]).T
        axes.errorbar(at + shift, middle, ends, color=colour, marker="o", capsize=3, label=name)
        for i, point in enumerate(found.points):
            each = [s[name] for s in point.seeds]
            axes.plot([i + shift] * len(each), each, ".", color=colour, alpha=0.4)
    axes.axhline(found.random.value, color=STILL, linestyle=":", label="random actions, real")
    axes.set_xticks(at, [shown(p.value) for p in found.points])
    axes.set_xlabel(found.config.knob.replace("_", " "))
    axes.set_ylabel("return")
    axes.legend()
    return figure


def shown(value: Any) -> str:
    """A knob's value in a table, or in the name of a folder."""
    return "-".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value}"


def _cell(values: Interval) -> str:
    return f"{values.value:.0f} [{values.low:.0f}, {values.high:.0f}]"
