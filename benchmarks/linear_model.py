"""A linear model of the change of state, the least that an ensemble has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamenv.models.ensemble import Ensemble
from dreamenv.training.transitions import Transitions

RIDGE = 1e-6
"""Of the squares of the weights, a transition."""


class Linear:
    """Ridge least squares (Hoerl & Kennard 1970) of the change on [s, a, 1], in closed form, in the
    units of an ensemble fitted on the same transitions and cut to its bound."""

    def __init__(self, units: Ensemble, data: Transitions) -> None:
        self._units = units
        s = units.normalised(data.observation).double()
        inputs = self._inputs(s, data.action)
        change = units.normalised(data.following).double() - s
        square = inputs.T @ inputs / len(s)
        penalty = RIDGE * torch.eye(len(square), dtype=torch.float64)
        penalty[-1, -1] = 0.0  # the constant is free
        self._weights = torch.linalg.solve(square + penalty, inputs.T @ change / len(s))

    def step(self, s: Tensor, action: Tensor) -> Tensor:
        """Normalised states ``[lanes, n]`` one step on, float64."""
        bound = self._units.sizes.latent_bound
        return (s + self._inputs(s, action) @ self._weights).clamp(-bound, bound)

    def _inputs(self, s: Tensor, action: Tensor) -> Tensor:
        acted = self._units.embed(action).double()
        return torch.cat([s, acted, torch.ones_like(s[:, :1])], dim=1)
