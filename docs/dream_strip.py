"""A strip of consecutive moments of a dream below one of a real episode, and a film of the dream.

python docs/dream_strip.py Dream-DoomTakeCover-v0 POLICY.zip --out docs/figures/take_cover_strip.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import dreamenv
from dreamenv.data.policies import load_policy

Env = gym.Env[Any, Any]
Frames = list[NDArray[np.uint8]]
ENLARGE = 2
GAP = 4
"""White pixels between the rows, before they are enlarged."""


def film(features: Env, pixels: Env, policy: str, seed: int, most: int) -> Frames:
    """Frames of one episode: the policy acts on ``features``, ``pixels`` is the same episode."""
    model = load_policy(policy)
    model.set_random_seed(seed)
    observation, _ = features.reset(seed=seed)
    frame, _ = pixels.reset(seed=seed)
    frames, over = [frame], False
    while not over and len(frames) < most:
        action, _ = model.predict(observation)
        observation, _, terminated, truncated, _ = features.step(action)
        frames.append(pixels.step(action)[0])
        over = terminated or truncated
    features.close()
    pixels.close()
    return frames


def row(frames: Frames, first: int, every: int, columns: int) -> NDArray[np.uint8]:
    """Every so-many-th frame side by side; white where the episode was over."""
    picked = [
        frames[at] if at < len(frames) else np.full_like(frames[0], 255)
        for at in range(first, first + every * columns, every)
    ]
    return np.concatenate(picked, axis=1)


def main() -> None:
    """Read the command line, play, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dream")
    parser.add_argument("policy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=30, help="decision of the first column")
    parser.add_argument("--every", type=int, default=1, help="decisions between columns")
    parser.add_argument("--columns", type=int, default=14)
    parser.add_argument("--film", type=Path, help="an mp4 of the dream")
    parser.add_argument("--film-decisions", type=int, default=300)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    shown = asked.first + asked.every * asked.columns
    policy, name = asked.policy, asked.dream
    dreamt = gym.make("Dream-v0", model=name, obs="features")
    same = gym.make("Dream-v0", model=name, obs="pixels")
    dream = film(dreamt, same, policy, asked.seed, max(shown, asked.film_decisions))
    raw = dreamenv.make_real(name, obs="pixels", raw=True)
    real = film(dreamenv.make_real(name), raw, policy, asked.seed, shown)
    rows = [row(f, asked.first, asked.every, asked.columns) for f in (real, dream)]
    white = np.full((GAP, *rows[0].shape[1:]), 255, np.uint8)
    strip = np.concatenate([rows[0], white, rows[1]]).repeat(ENLARGE, 0).repeat(ENLARGE, 1)
    from matplotlib.image import imsave

    imsave(asked.out, strip)
    if asked.film:
        from moviepy import ImageSequenceClip

        enlarged = [frame.repeat(4, 0).repeat(4, 1) for frame in dream]
        ImageSequenceClip(enlarged, fps=dreamt.metadata["render_fps"]).write_videofile(
            str(asked.film), codec="libx264", audio=False, logger=None
        )


if __name__ == "__main__":
    main()
