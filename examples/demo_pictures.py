"""The demo's pictures: real frame, reconstruction and dream side by side; the learning curve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import dreamenv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stable_baselines3.common.base_class import BaseAlgorithm

    from dreamenv.evaluate import Evaluation
    from dreamenv.learn import Learned

PANELS = ("real frame", "its reconstruction", "the dream")
ENLARGE = 4


@dataclass(frozen=True)
class Scores:
    """What a policy scored, in the dream and in the real env."""

    name: str
    dream: Evaluation
    real: Evaluation


@dataclass(frozen=True)
class SideBySide:
    """One real episode and one dreamt one, from the same first frame and by the same policy."""

    frames: NDArray[np.uint8]
    """``[steps, 3, height, width, 3]``, in the order of ``PANELS``; the shorter ends both."""
    fps: float = 12.5
    """Decisions in a second of the real env."""


def drive(policy: BaseAlgorithm, dream: str, seed: int, steps: int) -> SideBySide:
    """Drive the real env and, from its first frame on, the dream; each goes its own way.

    Args:
        steps: decisions at most.
    """
    # The same seed and actions make the same episode, seen in three ways.
    seen = dreamenv.make_real(dream, obs="features")
    real = dreamenv.make_real(dream, obs="pixels", raw=True)
    reconstructed = dreamenv.make_real(dream, obs="pixels")
    dreamt = gym.make("Dream-v0", model=dream, obs="features", render_mode="rgb_array")

    features, _ = seen.reset(seed=seed)
    frame, _ = real.reset(seed=seed)
    picture, _ = reconstructed.reset(seed=seed)
    imagined, _ = dreamt.reset(seed=seed, options={"observations": frame[None]})
    frames = [np.stack([frame, picture, _render(dreamt)])]
    for _ in range(steps):
        action, _ = policy.predict(features)
        features, _, ended, cut, _ = seen.step(action)
        frame, *_ = real.step(action)
        picture, *_ = reconstructed.step(action)
        imagined, _, woke, horizon, _ = dreamt.step(policy.predict(imagined)[0])
        frames.append(np.stack([frame, picture, _render(dreamt)]))
        if ended or cut or woke or horizon:
            break
    for env in (seen, real, reconstructed, dreamt):
        env.close()
    return SideBySide(np.stack(frames), dreamt.metadata["render_fps"])


def _render(env: gym.Env[Any, Any]) -> NDArray[np.uint8]:
    frame: Any = env.render()
    return np.asarray(frame, np.uint8)


def save_strip(shown: SideBySide, path: Path, columns: int = 8) -> None:
    """Save a PNG: a row a panel, a column a moment."""
    from matplotlib.figure import Figure

    moments = np.linspace(0, len(shown.frames) - 1, columns).round().astype(int)
    figure = Figure(figsize=(1.6 * columns, 5.2), layout="constrained")
    axes = figure.subplots(len(PANELS), columns, squeeze=False)
    for row, label in enumerate(PANELS):
        for column, moment in enumerate(moments):
            ax = axes[row, column]
            ax.imshow(shown.frames[moment, row], interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            if row == 0:
                ax.set_title(f"decision {moment}", fontsize=9)
        axes[row, 0].set_ylabel(label)
    figure.savefig(path, dpi=110)


def save_film(shown: SideBySide, path: Path) -> None:
    """Save an mp4: the three panels in a row, enlarged, as fast as they would happen."""
    from moviepy import ImageSequenceClip

    enlarged = shown.frames.repeat(ENLARGE, axis=2).repeat(ENLARGE, axis=3)
    rows = list(np.concatenate(list(enlarged.swapaxes(0, 1)), axis=2))
    ImageSequenceClip(rows, fps=shown.fps).write_videofile(
        str(path), codec="libx264", audio=False, logger=None
    )


def save_curve(learned: Learned, scores: Sequence[Scores], path: Path) -> None:
    """Save a PNG: the dream return while learning, and what came of it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    left.plot([step for step, _ in learned.curve], [mean for _, mean in learned.curve])
    left.set(
        title="while learning",
        xlabel="decisions in the dream",
        ylabel="dream return of an episode (the recipe's horizon)",
    )
    for offset, label in ((-0.1, "dream"), (0.1, "real")):
        places = [at + offset for at in range(len(scores))]
        found = [row.dream if label == "dream" else row.real for row in scores]
        means = [e.mean for e in found]
        errors = [[e.mean - e.low for e in found], [e.high - e.mean for e in found]]
        right.errorbar(places, means, errors, fmt="o", capsize=4, label=label)
    right.set(title="whole episodes", ylabel="return", xlim=(-0.5, len(scores) - 0.5))
    right.set_xticks(range(len(scores)), [row.name for row in scores])
    right.legend()
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
