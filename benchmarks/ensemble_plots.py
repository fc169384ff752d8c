"""The figures of ``ensemble_error.py``: error against k, and coverage against the stated rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dreamenv.audit.plots import DREAM, OTHER, REAL, STILL, png

PREDICTORS = {
    "ensemble, TS1": (DREAM, "-"),
    "ensemble, TS∞": ("#56B4E9", "-"),
    "ensemble, mean": (OTHER, "-"),
    "single network": (REAL, "-"),
    "linear model": ("#CC79A7", "-"),
    "held still": (STILL, ":"),
}


def draw_errors(result: dict[str, Any]) -> Figure:
    """A row an env, a panel a set of held-out episodes: root mean squared error against k."""
    envs = result["envs"]
    columns = max(len(env["sets"]) for env in envs.values())
    figure = Figure(figsize=(4.2 * columns, 3.1 * len(envs)), layout="constrained")
    panels = figure.subplots(len(envs), columns, squeeze=False)
    for row, (name, env) in zip(panels, envs.items(), strict=True):
        for axes in row[len(env["sets"]) :]:
            axes.set_axis_off()
        for axes, (of, found) in zip(row, env["sets"].items(), strict=False):
            for predictor, error in found["squared error"].items():
                _errors(axes, error, predictor)
            axes.set(title=f"{name}: {of}", xscale="log", yscale="log")
        row[0].set_ylabel("error, standard deviations")
    for axes in panels[-1]:
        axes.set_xlabel("k, decisions without seeing")
    figure.legend(*panels[0][0].get_legend_handles_labels(), ncols=3, loc="outside lower center")
    return figure


def _errors(axes: Axes, error: dict[str, list[float | None]], predictor: str) -> None:
    colour, style = PREDICTORS[predictor]
    value, low, high = (np.sqrt(_array(error[name])) for name in ("value", "low", "high"))
    k = np.arange(1, len(value) + 1)
    axes.plot(k, value, style, color=colour, label=predictor)
    axes.fill_between(k, low, high, color=colour, alpha=0.15, lw=0.0)


def draw_coverage(result: dict[str, Any]) -> Figure:
    """A row an env and set, a panel a k: how often the truth lies in central intervals, all numbers
    together (with its interval) and each (thin)."""
    rates = np.array(result["rates"])
    rows = [(n, of, s) for n, env in result["envs"].items() for of, s in env["sets"].items()]
    ks = list(next(iter(rows[0][2]["coverage"].values())))
    figure = Figure(figsize=(3.0 * len(ks), 2.8 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(ks), squeeze=False)
    for row, (name, of, found) in zip(panels, rows, strict=True):
        for axes, k in zip(row, ks, strict=True):
            axes.plot([0, 1], [0, 1], ":", color=STILL)
            for predictor, by_k in found["coverage"].items():
                colour = PREDICTORS[predictor][0]
                together = by_k[k]["together"]
                value, low, high = (_array(together[n]) for n in ("value", "low", "high"))
                axes.plot(rates, value, ".-", color=colour, label=predictor.split(", ")[1])
                axes.fill_between(rates, low, high, color=colour, alpha=0.2, lw=0.0)
                for number in by_k[k]["numbers"]:
                    axes.plot(rates, _array(number), color=colour, lw=0.4, alpha=0.5)
            axes.set(title=f"k = {k}", xlim=(0, 1), ylim=(0, 1))
            if not np.isfinite(value).any():
                axes.text(0.5, 0.5, "too few\nepisodes", ha="center", va="center", color=STILL)
        row[0].set_ylabel(f"{name}\n{of}\nfound inside")
    for axes in panels[-1]:
        axes.set_xlabel("stated rate")
    panels[0][0].legend(fontsize=8)
    return figure


def _array(values: list[float | None]) -> NDArray[np.float64]:
    return np.array(values, np.float64)


def draw(result: dict[str, Any], out: Path) -> None:
    """Both, the coverage beside ``out`` as ``…_coverage.png``."""
    out.write_bytes(png(draw_errors(result)))
    out.with_name(f"{out.stem}_coverage.png").write_bytes(png(draw_coverage(result)))
