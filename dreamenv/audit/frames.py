"""Dreamed frames beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dreamenv.audit.filtered import FilteredEpisode, draw_noise
from dreamenv.audit.open_loop import Window
from dreamenv.models.world_model import State, WorldModel

STEPS = (0, 1, 2, 5, 10, 20, 30, 40, 50)
MOST_STRIPS = 3


@dataclass(frozen=True)
class Strip:
    """One window of a real episode at a few steps, three times: uint8 ``[steps, *observation]``."""

    seed: int
    """Of the real episode."""
    start: int
    """Decision at which the model is left alone."""
    steps: list[int]
    real: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    """The posterior's picture: the model sees every frame."""
    dream: NDArray[np.uint8]
    """One sampled rollout at temperature 1, under the recorded actions."""


def choose(windows: Sequence[Window]) -> list[Window]:
    """Up to :data:`MOST_STRIPS` of the longest windows, spread over the episodes."""
    longest = max(w.steps for w in windows)
    whole = [w for w in windows if w.steps == longest]
    picks = np.linspace(0, len(whole) - 1, min(MOST_STRIPS, len(whole)))
    return [whole[round(i)] for i in picks]


@torch.inference_mode()
def film(model: WorldModel, filtered: FilteredEpisode, window: Window, seed: int) -> Strip:
    """Run posterior and dream side by side from the window's start."""
    generator = torch.Generator(device=model.device).manual_seed(seed)
    episode = filtered.episode
    seen = dreamed = filtered.states[window.start]
    steps = [k for k in STEPS if k <= window.steps]
    pictures: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for k in range(max(steps) + 1):
        if k in steps:
            pictures.append((_picture(model, seen), _picture(model, dreamed)))
        if k == max(steps):
            break
        at = window.start + k
        action = _tensor(episode.actions[at : at + 1], model)
        seen = model.posterior(seen, action, _tensor(episode.frames[at + 1 : at + 2], model))
        one = torch.ones(1, device=model.device)
        dreamed = model.step(dreamed, action, one, draw_noise(model.noise, 1, generator)).state
    return Strip(
        seed=episode.seed,
        start=window.start,
        steps=steps,
        real=np.stack([episode.frames[window.start + k] for k in steps]),
        reconstruction=np.stack([p[0] for p in pictures]),
        dream=np.stack([p[1] for p in pictures]),
    )


def _picture(model: WorldModel, state: State) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = model.observe(state, "pixels")[0].cpu().numpy()
    return pixels


def _tensor(array: NDArray[Any], model: WorldModel) -> torch.Tensor:
    # Copied: a memory-mapped slice is read-only, which torch does not take.
    return torch.from_numpy(np.array(array)).to(model.device)
