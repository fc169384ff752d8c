"""Mixtures of Gaussians over the next latent: one for each dimension (Ha & Schmidhuber 2018, A.2),
or one for all of it (Bishop 1994).

With one for each, dimensions are independent given the LSTM: an event that is rare and shows in
many of them at once, a monster's shot, is drawn in one here and one there, and so never happens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MIN_LOG_SCALE = -6.0
MAX_LOG_SCALE = 3.0
COLDEST = 1e-6
"""Temperature below which a sample is the mode in float32."""


@dataclass(frozen=True)
class Mixture:
    """Parameters, float32."""

    logits: Tensor
    """``[..., components, latent]``; ``[..., components, 1]`` of a joint one."""
    mean: Tensor
    """``[..., components, latent]``."""
    log_scale: Tensor

    @classmethod
    def split(cls, parameters: Tensor, components: int, joint: bool = False) -> Mixture:
        """From a head's output: ``[..., 3 · components · latent]``, or of a joint one
        ``[..., components · (1 + 2 · latent)]``."""
        if joint:
            logits = parameters[..., :components, None]
            mean, log_scale = (
                parameters[..., components:].unflatten(-1, (2, components, -1)).unbind(-3)
            )
        else:
            logits, mean, log_scale = parameters.unflatten(-1, (3, components, -1)).unbind(-3)
        return cls(logits, mean, log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density ``[...]`` of ``value`` ``[..., latent]``."""
        error = (value.unsqueeze(-2) - self.mean) * torch.exp(-self.log_scale)
        log_normal = -0.5 * error.square() - self.log_scale - 0.5 * math.log(2.0 * math.pi)
        if self.logits.shape[-1] == 1:
            log_normal = log_normal.sum(-1, keepdim=True)
        return torch.logsumexp(log_normal + self.logits.log_softmax(-2), dim=-2).sum(-1)

    def sample(self, temperature: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        """A draw: component (of each dimension, or of all) from softmax(logits/τ), then μ + σ·√τ·ε.

        τ → 0 gives the mode (the likeliest component's mean), τ = 1 the mixture as trained.

        Args:
            temperature: ``[...]``, ≥ 0.
            uniform: as wide as the logits, in (0, 1); picks the component by inverse CDF.
            normal: ``[..., latent]``, ε.

        Returns:
            ``[..., latent]``.
        """
        tau = temperature[..., None, None]
        weights = (self.logits / tau.clamp_min(COLDEST)).softmax(-2)
        # Inverse CDF, one component at a time: few components, each a whole row of dimensions.
        cumulative = torch.zeros_like(uniform)
        mean, log_scale = self.mean[..., -1, :], self.log_scale[..., -1, :]
        chosen = torch.zeros_like(uniform, dtype=torch.bool)
        for k in range(self.logits.shape[-2] - 1):
            cumulative = cumulative + weights[..., k, :]
            here = (uniform < cumulative) & ~chosen
            mean = torch.where(here, self.mean[..., k, :], mean)
            log_scale = torch.where(here, self.log_scale[..., k, :], log_scale)
            chosen = chosen | here
        spread = torch.exp(log_scale) * temperature.sqrt().unsqueeze(-1)
        return torch.where(temperature.unsqueeze(-1) > 0, mean + spread * normal, mean)
