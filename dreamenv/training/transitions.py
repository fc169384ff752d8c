"""Episodes of vector observations as transitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dreamenv.data.rollouts import Episode


@dataclass(frozen=True)
class Transitions:
    """Decisions side by side, in the real env's units."""

    observation: Tensor
    """float32 ``[N, n]``."""
    action: Tensor
    """float32 ``[N, A]`` in [-1, 1], or int64 ``[N]``."""
    following: Tensor
    """float32 ``[N, n]``: the observation that followed."""
    reward: Tensor
    """float32 ``[N]``."""
    terminated: Tensor
    """float32 ``[N]``: 1 where the decision ended the episode, by the env's own rule."""

    @classmethod
    def of(cls, episodes: Sequence[Episode]) -> Transitions:
        """All decisions of some episodes, in order."""
        terminated = [np.zeros(len(e), np.float32) for e in episodes]
        for ends, episode in zip(terminated, episodes, strict=True):
            ends[-1] = episode.terminated

        def joined(arrays: list[np.ndarray]) -> Tensor:
            return torch.from_numpy(np.concatenate(arrays))

        return cls(
            observation=joined([e.frames[:-1] for e in episodes]),
            action=joined([e.actions for e in episodes]),
            following=joined([e.frames[1:] for e in episodes]),
            reward=joined([e.rewards for e in episodes]),
            terminated=joined(terminated),
        )

    def __len__(self) -> int:
        return len(self.reward)

    def __getitem__(self, at: Tensor) -> Transitions:
        return Transitions(*(getattr(self, name)[at] for name in self.__dataclass_fields__))
