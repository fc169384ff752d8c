"""The audit's figures."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from dreamenv.audit.bootstrap import Band
from dreamenv.audit.frames import Strip
from dreamenv.audit.open_loop import OpenLoop
from dreamenv.audit.parting import Parting
from dreamenv.audit.returns import Comparison, ReturnReport
from dreamenv.audit.reward import RewardReport
from dreamenv.audit.termination import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by colour-blind readers too.
COLOURS = DREAM, REAL, OTHER, STILL = "#0072B2", "#D55E00", "#009E73", "#777777"


def require_matplotlib() -> None:
    """Raise an ImportError that names the extra, before hours of work and not after.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('the audit draws figures: pip install "dreamenv[plots]"') from error


def png(figure: Figure) -> bytes:
    """A figure's PNG file."""
    buffer = BytesIO()
    # Without the version of matplotlib, so that the same audit gives the same bytes.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def draw_returns(policy: ReturnReport, random: ReturnReport, trained: bool) -> Figure:
    """Returns and lengths, dream and real: the policy's above, the random one's below."""
    rows = [("policy", policy), ("random", random)] if trained else [("random", random)]
    figure = _figure(10.0, 3.2 * len(rows))
    axes = figure.subplots(len(rows), 2, squeeze=False)
    for (name, report), (left, right) in zip(rows, axes, strict=True):
        _histogram(left, report.returns, f"return, {name}")
        _histogram(right, report.lengths, f"decisions an episode, {name}")
    axes[0][0].legend()
    return figure


def draw_parting(parting: Parting) -> Figure:
    """Return so far, and the share of episodes that have not ended, against the decision."""
    figure = _figure(10.0, 3.6)
    left, right = figure.subplots(1, 2)
    for axes, what, title in (
        (left, "paid", "return so far"),
        (right, "alive", "share of episodes that have not ended"),
    ):
        for name, colour in (("dream", DREAM), ("real", REAL)):
            _band(axes, parting.decisions, getattr(parting, f"{what}_{name}"), colour, name)
        if (apart := getattr(parting, f"{what}_apart")) is not None:
            axes.axvline(apart, color=STILL, ls=":", label="they part")
        axes.set(title=title, xlabel="decision")
        axes.legend()
    return figure


def draw_open_loop(open_loop: OpenLoop) -> Figure:
    """Error against k for latent, features and pixels (or what else is observed)."""
    figure = _figure(12.0, 3.6)
    kinds = {
        "latent": "latent: share of variance",
        "features": "features: share of variance",
        "pixels": f"{'pixels' if open_loop.frames else 'observation'}: mean squared error",
    }
    for axes, (kind, title) in zip(figure.subplots(1, 3), kinds.items(), strict=True):
        curves = open_loop.curves[kind]
        steps = open_loop.steps
        _band(axes, steps, curves["mean"], DREAM, "mean of sampled dreams")
        _band(axes, steps, curves["mode"], OTHER, "mode (temperature 0)")
        _band(axes, steps, curves["constant"], STILL, "held still")
        if kind == "pixels":
            axes.axhline(open_loop.reconstruction, color=REAL, ls=":", label="reconstruction")
        axes.set(title=title, xlabel="k, decisions without seeing", ylim=(0.0, None))
    figure.axes[-1].legend()
    return figure


def draw_reward(reward: RewardReport) -> Figure:
    """Predicted against real return an episode, and the open-loop reward error against k."""
    figure = _figure(10.0, 3.8)
    left, right = figure.subplots(1, 2)
    policies = sorted({e.policy for e in reward.episodes})
    for policy, colour in zip(policies, cycle(COLOURS), strict=False):
        mine = [e for e in reward.episodes if e.policy == policy]
        left.scatter(
            [e.real for e in mine], [e.predicted for e in mine], s=18, color=colour, label=policy
        )
    everything = [v for e in reward.episodes for v in (e.real, e.predicted)]
    ends = [min(everything), max(everything)]
    left.plot(ends, ends, color=STILL, lw=1.0)
    left.set(
        title="return of held-out episodes",
        xlabel="real",
        ylabel="predicted, fed real observations",
    )
    left.legend()
    steps = list(range(1, len(reward.open_loop_mae.value) + 1))
    _band(right, steps, reward.open_loop_mae, DREAM, "mean absolute error")
    _band(right, steps, reward.open_loop_bias, REAL, "bias (predicted - real)")
    right.axhline(reward.mean_mae, color=STILL, ls="--", label="error of a constant")
    right.set(title="reward of a decision, open loop", xlabel="k, decisions without seeing")
    right.legend()
    return figure


def draw_reliability(calibration: Calibration) -> Figure:
    """Observed against predicted frequency of endings, on logarithmic axes: most are rare."""
    figure = _figure(5.0, 4.2)
    axes = figure.subplots()
    curve = calibration.reliability
    floor = 1e-4
    x = np.maximum(curve.predicted, floor)
    y, low, high = (
        np.maximum(np.nan_to_num(v), floor)
        for v in (curve.observed.value, curve.observed.low, curve.observed.high)
    )
    reach = [np.maximum(y - low, 0.0), np.maximum(high - y, 0.0)]
    axes.errorbar(x, y, yerr=reach, fmt="o-", color=DREAM, ms=4, lw=1.0, capsize=2)
    axes.plot([floor, 1.0], [floor, 1.0], color=STILL, lw=1.0)
    axes.set(
        xscale="log",
        yscale="log",
        title="does the decision end the episode?",
        xlabel=f"predicted probability (below {floor:g} drawn there)",
        ylabel="share that did",
    )
    return figure


def draw_frames(strips: Sequence[Strip]) -> Figure:
    """Three rows a strip: real, reconstruction, dream."""
    height, width = strips[0].real.shape[1:3]
    shape = len(strips[0].steps) * width / (3 * height)
    figure = _figure(11.0, (10.0 / shape + 0.7) * len(strips))
    every = figure.subplots(len(strips), 1, squeeze=False).flat
    for axes, strip in zip(every, strips, strict=True):
        rows = {"real": strip.real, "seen": strip.reconstruction, "dream": strip.dream}
        picture = np.concatenate([np.concatenate([*r], axis=1) for r in rows.values()], axis=0)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        centres = width * (np.arange(len(strip.steps)) + 0.5)
        axes.set_xticks(centres, [f"k = {k}" for k in strip.steps])
        axes.set_yticks(height * (np.arange(3) + 0.5), list(rows))
        axes.tick_params(length=0)
        axes.set_title(f"real episode {strip.seed}, from decision {strip.start} on", fontsize=9)
    return figure


def _figure(width: float, height: float) -> Figure:
    # Not pyplot: no global state, no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _histogram(axes: Axes, comparison: Comparison, label: str) -> None:
    both = np.concatenate([comparison.dream.values, comparison.real.values])
    bins = np.histogram_bin_edges(both, bins=24).tolist()
    for name, sample, colour in (
        ("dream", comparison.dream, DREAM),
        ("real", comparison.real, REAL),
    ):
        share = np.full(len(sample.values), 1.0 / len(sample.values))
        axes.hist(sample.values, bins, weights=share, color=colour, alpha=0.5, label=name)
        axes.axvspan(sample.mean.low, sample.mean.high, color=colour, alpha=0.15)
        axes.axvline(sample.mean.value, color=colour)
    axes.set(xlabel=label, ylabel="share of episodes")


def _band(axes: Axes, steps: Sequence[int], band: Band, colour: str, label: str) -> None:
    axes.plot(steps, band.value, color=colour, label=label)
    axes.fill_between(steps, band.low, band.high, color=colour, alpha=0.2, lw=0.0)
