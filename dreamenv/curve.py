"""A loop's curve: real return against real steps, beside that of the model-free learner alone."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CURVE, CONTROL, PICTURE = "curve.json", "control.json", "curve.png"


def draw_curve(folder: Path) -> Path | None:
    """Draw ``curve.png`` from ``curve.json`` and, if it is there, ``control.json``; None without
    matplotlib (extra ``plots``)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    if (folder / CURVE).exists():
        rounds = json.loads((folder / CURVE).read_text())
        steps = [r["real_steps"] for r in rounds]
        for name, colour, words in (
            ("real_return", "tab:blue", "learnt in the dream, on the real env"),
            ("dream_return", "tab:orange", "the same, in its dream"),
        ):
            _line(axes, steps, [r[name] for r in rounds], colour, words)
    if (folder / CONTROL).exists():
        control = json.loads((folder / CONTROL).read_text())
        steps = [p["real_steps"] for p in control["points"]]
        points = [p["real_return"] for p in control["points"]]
        _line(axes, steps, points, "tab:gray", f"{control['algo']} alone, on the real env")
    axes.set_xlabel("real frames that were learned from")
    axes.set_ylabel("return (mean, 95% interval)")
    axes.legend()
    # Of this process alone: a loop and its control may draw at once.
    path, partial = folder / PICTURE, folder / f".{PICTURE}.{os.getpid()}.partial"
    figure.savefig(partial, format="png", dpi=120)
    return partial.replace(path)


def _line(
    axes: Any, steps: Sequence[int], points: Sequence[dict[str, float]], colour: str, words: str
) -> None:
    axes.plot(steps, [p["mean"] for p in points], marker="o", color=colour, label=words)
    lows, highs = ([p[end] for p in points] for end in ("low", "high"))
    axes.fill_between(steps, lows, highs, color=colour, alpha=0.2)


def log_point(folder: Path, point: dict[str, Any]) -> None:
    """A round's figures to TensorBoard, against real frames; where it is installed (extra
    ``sb3``)."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return
    figures = {
        "return/real": point["real_return"]["mean"],
        "return/dream": point["dream_return"]["mean"],
        "return/collected": point["collected_return"],
        **{f"held_out/{name}": value for name, value in point["held_out"].items()},
    }
    with SummaryWriter(str(folder)) as writer:
        for name, value in figures.items():
            writer.add_scalar(name, value, point["real_steps"])
