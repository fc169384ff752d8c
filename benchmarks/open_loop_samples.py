"""Stretches of real episodes, dreamed again and again under their recorded actions: how far the
mean of the dreams is from what happened, and how often that lies among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.data.rollouts import Episode
from dreamenv.models.ensemble import Ensemble, Propagation
from dreamenv.models.world_model import Noise


@dataclass(frozen=True)
class Windows:
    """Stretches from a moment of an episode to so many decisions later, or the episode's end."""

    episode: NDArray[np.int64]
    """``[windows]``: number in the list of episodes."""
    first: Tensor
    """float32 ``[windows, n]``: the observation at which each begins."""
    actions: Tensor
    """``[windows, horizon, *action]``; past a window's end, anything."""
    truth: Tensor
    """float32 ``[windows, horizon, n]``: the observation after each action; NaN past the end."""


def windows(episodes: Sequence[Episode], horizon: int, per_episode: int) -> Windows:
    """Windows that begin at evenly spaced moments of each episode, its first included."""
    of, first, actions, truth = [], [], [], []
    for index, episode in enumerate(episodes):
        starts = sorted({len(episode) * i // per_episode for i in range(per_episode)})
        for start in starts:
            end = min(start + horizon, len(episode))
            acted = np.zeros((horizon, *episode.actions.shape[1:]), episode.actions.dtype)
            acted[: end - start] = episode.actions[start:end]
            seen = np.full((horizon, episode.frames.shape[1]), np.nan, np.float32)
            seen[: end - start] = episode.frames[start + 1 : end + 1]
            of.append(index)
            first.append(np.asarray(episode.frames[start]))
            actions.append(acted)
            truth.append(seen)
    stacked = (torch.from_numpy(np.stack(rows)) for rows in (first, actions, truth))
    return Windows(np.array(of, np.int64), *stacked)


@torch.inference_mode()
def dreams(
    model: Ensemble, propagation: Propagation, seen: Windows, samples: int, seed: int
) -> Iterator[Tensor]:
    """Normalised states ``[windows, samples, n]`` after 1, 2, … of the recorded actions, at
    temperature 1. Under ``"tsinf"`` each sample keeps an elite of its own."""
    generator = torch.Generator().manual_seed(seed)
    model.propagation, model.tells = propagation, False
    lanes = len(seen.first) * samples

    def uniform(n: int) -> Tensor:
        return torch.rand(lanes, n, generator=generator)

    start = seen.first.repeat_interleave(samples, dim=0)
    state = model.begin({"observation": start}, uniform(model.noise.start_uniform))
    for k in range(seen.actions.shape[1]):
        action = seen.actions[:, k].repeat_interleave(samples, dim=0)
        normal = torch.randn(lanes, model.noise.normal, generator=generator)
        noise = Noise(uniform(model.noise.uniform), normal)
        state = model.step(state, action, torch.ones(lanes), noise).state
        yield state["s"].view(-1, samples, model.latent)


def squared_error(guess: Tensor, truth: Tensor) -> NDArray[np.float64]:
    """Mean over the numbers, ``[windows]``, of normalised states ``[windows, n]``."""
    found: NDArray[np.float64] = (guess.double() - truth.double()).square().mean(1).numpy()
    return found


def places(sampled: Tensor, truth: Tensor, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where among the samples ``[windows, samples, n]`` the truth ``[windows, n]`` lies, 0 to 1:
    uniform if it is as one of them (a probability integral transform of ranks, ties and the
    room between two ranks broken at random; Hamill 2001). NaN where the truth is."""
    at = truth.unsqueeze(1)
    below = (sampled < at).sum(1).numpy()
    ties = (sampled == at).sum(1).numpy()
    found: NDArray[np.float64] = (below + rng.random(below.shape) * (ties + 1)) / (
        sampled.shape[1] + 1
    )
    found[np.isnan(truth.numpy())] = np.nan
    return found


def covered(place: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    """Whether the truth lies in the central interval of this rate; never where it is NaN."""
    with np.errstate(invalid="ignore"):
        inside: NDArray[np.bool_] = np.abs(place - 0.5) < 0.5 * rate
    return inside


def by_episode(values: NDArray[np.float64], episode: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum ``[windows, ...]`` within each episode, ``[episodes, ...]``, NaN counting nothing."""
    names, index = np.unique(episode, return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]))
    np.add.at(sums, index, np.nan_to_num(values))
    return sums
