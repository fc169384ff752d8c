"""How wide an ensemble's dreams should spread, by what held-out data says.

Training puts the deviations where the likelihood of data that the members were fitted on wants
them, and never far below their bound: on envs without noise (CartPole, Pendulum) they come out many
times too wide. One factor for each number of the state mends that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dreamenv.models.ensemble import Ensemble
from dreamenv.training.transitions import Transitions

FACTORS = 2.0 ** torch.linspace(-4.5, 1.0, 23)
"""That are tried, 0.044 to 2, among them 1: deviations that are right stay as they are."""
MOST = 2000
"""Transitions that the factors are fitted on."""
LEAST = 30
"""With fewer there is no telling."""
SLACK = 0.02
"""Of the least score. The widest of all that are nearly as good is taken: what is narrow for one
step is far too narrow for fifty, over which a model's own errors add up and noise averages out."""


@torch.no_grad()
def fit_deviations(model: Ensemble, held_out: Transitions) -> Tensor:
    """Multiply the deviations that the model predicts by what gives the mixture of its elites, as
    which TS1 and TS∞ sample one step, a continuous ranked probability score close to the least.
    That score, unlike the likelihood, hardly minds a few held-out decisions that are far off.

    Returns:
        The factors, float32 ``[observation]``; 1 each where too little is held out.
    """
    numbers = model.sizes.observation
    if len(held_out) < LEAST:
        return torch.ones(numbers)
    data = held_out[torch.arange(min(len(held_out), MOST))]
    s = model.normalised(data.observation)
    acted = torch.cat([s, model.embed(data.action)], dim=1)
    means, deviations = model.spread(model.dynamics.every(acted, model.sizes.elites))
    target = (model.normalised(data.following) - s - model.change_mean) / model.change_scale
    scores = torch.stack([mixture_crps(means, f * deviations, target).mean(0) for f in FACTORS])
    least = scores.min(0)
    good = (scores <= (1.0 + SLACK) * least.values) & (FACTORS <= 1.0).unsqueeze(1)
    widest = torch.where(good, FACTORS.unsqueeze(1), 0.0).amax(0)
    factors = torch.maximum(FACTORS[least.indices], widest)
    # Moved together, the bounds and what lies between them shift the log variance as a whole.
    shift = 2.0 * factors.log()
    model.least_log_variance.add_(shift)
    model.most_log_variance.add_(shift)
    model.dynamics.biases[-1][..., numbers : 2 * numbers] += shift
    return factors


def mixture_crps(means: Tensor, deviations: Tensor, truth: Tensor) -> Tensor:
    """Continuous ranked probability score of mixtures of Gaussians of equal weight, in closed form
    (Grimit et al. 2006, eq. 4): E|X - y| - E|X - X'| / 2, in the truth's units.

    Args:
        means: ``[members, ...]``, as the deviations.
        truth: ``[...]``.
    """
    variance = deviations.square()
    away = _absolute(means - truth, deviations).mean(0)
    apart = torch.stack(
        [
            _absolute(means - mean, (variance + own).sqrt()).mean(0)
            for mean, own in zip(means, variance, strict=True)
        ]
    ).mean(0)
    return away - 0.5 * apart


def _absolute(mean: Tensor, deviation: Tensor) -> Tensor:
    """E|X| of a Gaussian."""
    z = mean / deviation
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2.0 * math.pi)
    return mean * torch.erf(z / math.sqrt(2.0)) + 2.0 * deviation * density
