"""The figure of ``learned_endings.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dreamenv.audit.plots import DREAM, OTHER, REAL, STILL, png

LINES = {
    "real observation, random": (REAL, "-"),
    "real observation, policy": (REAL, "--"),
    "dreams, random": (DREAM, "-"),
    "dreams, policy": (DREAM, "--"),
}
LEAST = 10
"""Decisions of a point."""


def draw(result: dict[str, Any], out: Path) -> None:
    """Predicted probability of an ending against the margin of the env's own rule."""
    edges = np.array(result["edges"])
    middle = 0.5 * (edges[1:] + edges[:-1])
    envs = result["envs"]
    figure = Figure(figsize=(4.2 * len(envs), 3.6), layout="constrained")
    panels = figure.subplots(1, len(envs), squeeze=False)[0]
    for axes, (env, found) in zip(panels, envs.items(), strict=True):
        axes.plot([edges[0], 1, 1, edges[-1]], [0, 0, 1, 1], color=STILL, label="the env's rule")
        axes.axvspan(0.95, 1.05, color=OTHER, alpha=0.12, lw=0.0)
        for name, (colour, style) in LINES.items():
            if name not in found["curves"]:
                continue
            curve = found["curves"][name]
            values = np.array(curve["probability"], np.float64)
            values[np.array(curve["decisions"]) < LEAST] = np.nan
            axes.plot(middle, values, style, color=colour, marker=".", label=name)
        axes.set(title=env, xlabel="how far to the boundary, which is 1", ylim=(-0.03, 1.03))
    figure.axes[0].set_ylabel("predicted probability of ending")
    figure.axes[-1].legend(fontsize=8)
    out.write_bytes(png(figure))
