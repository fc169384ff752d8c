"""The range of states in which episodes go on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_LOGIT = 15.0
"""Of an ending: surer than 3e-7 it never is."""


class HealthyRange(nn.Module):
    """Episodes end where a number of the state leaves an interval, as in most envs of vectors (the
    ``healthy_z_range`` of Gymnasium's MuJoCo envs, the track and the angle of CartPole).

    A side that has no bound lies where no state comes.

    Args:
        numbers: of a state.
        farthest: that a number of a state can be from 0.
    """

    low: Tensor
    high: Tensor
    low_slope: Tensor
    high_slope: Tensor

    def __init__(self, numbers: int, farthest: float) -> None:
        super().__init__()
        beyond = torch.full((numbers,), farthest + MOST_LOGIT)
        # One tensor each, with one dimension: packages of 16 bits keep those in 32.
        self.register_buffer("low", -beyond)
        self.register_buffer("high", beyond)
        self.register_buffer("low_slope", torch.ones(numbers))
        self.register_buffer("high_slope", torch.ones(numbers))

    def forward(self, s: Tensor) -> Tensor:
        """Logits ``[...]`` of the ending of episodes that came to ``s`` ``[..., numbers]``: how far
        the number that is farthest out lies beyond its bound."""
        below = (self.low - s) * self.low_slope
        above = (s - self.high) * self.high_slope
        return torch.maximum(below, above).amax(-1).clamp(-MOST_LOGIT, MOST_LOGIT)
