"""The states that a model is in at the moments of recorded episodes, to start dreams in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.config import PackageConfig
from dreamenv.data.rollouts import Episode
from dreamenv.dream.folders import Data, open_recorded
from dreamenv.models.families import start_shapes
from dreamenv.models.world_model import WorldModel

EPISODES = 64
"""Filtered as a batch of exactly so many, so that a state does not depend on what is beside it."""


def recorded_starts(model: WorldModel, config: PackageConfig, data: Data) -> dict[str, Tensor]:
    """The state after each observation of recorded episodes, but where they terminated.

    Kept are the numbers that an entry of the package's bank has (``start_shapes``), in float32: 4
    bytes each for every decision; so 24 MB for 100,000 decisions of an ensemble of 60 numbers, and
    2.2 kB a decision of an MDN-RNN of 32 latents and 256 units; twice that while they are made.
    Frames are read as they are needed.

    Args:
        data: folders of ``dreamenv collect``.

    Returns:
        As in ``start_states.safetensors``: float32 ``[moments, ...]`` by name, and ``first``, uint8
        ``[moments]``, 1 for those that began an episode. In the order of episodes and decisions.

    Raises:
        DataError: no such folder, a damaged one, or of another real env than the package's.
    """
    episodes = open_recorded(config, data).episodes
    names = list(start_shapes(config))
    found: list[dict[str, Tensor]] = [{} for _ in episodes]
    by_length = sorted(range(len(episodes)), key=lambda index: len(episodes[index]))
    with torch.inference_mode():
        for start in range(0, len(episodes), EPISODES):
            chosen = by_length[start : start + EPISODES]
            states = _filtered(model, [episodes[index] for index in chosen], names)
            for index, own in zip(chosen, states, strict=True):
                found[index] = own
        starts = {name: torch.cat([own[name] for own in found]) for name in names}
    lengths = [_moments(episode) for episode in episodes]
    first = torch.zeros(sum(lengths), dtype=torch.uint8)
    first[torch.from_numpy(np.cumsum([0, *lengths[:-1]]))] = 1
    return {**starts, "first": first}


def _moments(episode: Episode) -> int:
    """Of an episode: nothing follows on its last one, if it terminated."""
    return len(episode) + (not episode.terminated)


def _filtered(
    model: WorldModel, episodes: Sequence[Episode], names: Sequence[str]
) -> list[dict[str, Tensor]]:
    """Each episode's states, ``[moments, ...]`` by name."""
    moments = [_moments(episode) for episode in episodes]

    def batch(time: int, of: str) -> Tensor:
        """That moment of all, or of those that are over their last; the last again for padding."""
        rows: list[NDArray[Any]] = [
            getattr(episode, of)[min(time, len(episode) - (of == "actions"))]
            for episode in episodes
        ]
        rows += rows[-1:] * (EPISODES - len(rows))
        return torch.from_numpy(np.stack(rows)).to(model.device)

    state = model.begin({"observation": batch(0, "frames")})
    kept = {name: [state[name]] for name in names}
    for time in range(1, max(moments)):
        state = model.posterior(state, batch(time - 1, "actions"), batch(time, "frames"))
        for name in names:
            kept[name].append(state[name])
    together = {name: torch.stack(pieces) for name, pieces in kept.items()}
    return [
        {name: rows[:count, lane].to(torch.float32) for name, rows in together.items()}
        for lane, count in enumerate(moments)
    ]
