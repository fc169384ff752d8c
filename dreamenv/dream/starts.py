"""The states that episodes begin with: of the bank, or filtered from real observations."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.models.world_model import State, WorldModel

FILTER_ROWS = 16
"""Real observations are filtered in batches of exactly so many lanes, so that a lane's start does
not depend on how many begin with it."""


class StartBank:
    """The states of ``start_states.safetensors``."""

    def __init__(self, starts: Mapping[str, Tensor], device: torch.device) -> None:
        first = starts["first"].cpu().numpy()
        self.entries = {name: t.to(device) for name, t in starts.items() if name != "first"}
        self.firsts = np.flatnonzero(first)
        """Those that began a real episode."""

    def __len__(self) -> int:
        return len(next(iter(self.entries.values())))

    def draw(self, words: NDArray[np.int64], anywhere: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Start states for 32-bit random words (Lemire 2019, *Fast random integer generation in an
        interval*): of the whole bank, or of those that began a real episode."""
        first = self.firsts[(words * len(self.firsts)) >> 32]
        return np.where(anywhere, (words * len(self)) >> 32, first)

    def begin(self, model: WorldModel, index: NDArray[np.int64], noise: Tensor, rows: int) -> State:
        """States for entries of the bank, in so many rows; those beyond them are padding."""
        spare = rows - len(index)
        at = torch.from_numpy(np.pad(index, (0, spare), mode="edge")).to(model.device)
        noise = torch.cat([noise, noise[-1:].expand(spare, -1)])
        return model.begin({name: entry[at] for name, entry in self.entries.items()}, noise)


def filtered(
    model: WorldModel, observations: NDArray[Any], actions: NDArray[Any], lanes: int
) -> Generator[None, None, State]:
    """States after real observations, a frame of some lanes at a time: many take long.

    Args:
        observations: ``[lanes, T, *observation]``, or ``[1, T, *observation]`` for all of them;
            uint8 frames or float32 vectors.
        actions: ``[lanes, T - 1, *action]`` likewise.
        lanes: how many.
    """
    pieces: list[State] = []
    for start in range(0, len(observations), FILTER_ROWS):
        frames, acts = (
            torch.from_numpy(np.ascontiguousarray(_fill(array[start : start + FILTER_ROWS])))
            .to(model.device)
            .movedim(1, 0)
            for array in (observations, actions)
        )
        with torch.inference_mode():
            state = model.begin({"observation": frames[0].contiguous()})
        for action, frame in zip(acts, frames[1:], strict=True):
            yield
            with torch.inference_mode():
                state = model.posterior(state, action.contiguous(), frame.contiguous())
        pieces.append(state)
        yield
    with torch.inference_mode():
        together = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
        at = torch.arange(lanes, device=model.device).clamp_max(len(observations) - 1)
        return {name: rows[at] for name, rows in together.items()}


def _fill(array: NDArray[Any]) -> NDArray[Any]:
    """Padded to :data:`FILTER_ROWS` lanes with copies of the last."""
    spare = FILTER_ROWS - len(array)
    return np.concatenate([array, np.repeat(array[-1:], spare, axis=0)]) if spare else array
