"""What an ensemble measures states, changes and rewards in."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamenv.models.ensemble import Ensemble
from dreamenv.training.transitions import Transitions


@torch.no_grad()
def fit_units(model: Ensemble, data: Transitions, *, keep: bool = False) -> None:
    """Measure states, changes and rewards in the data's own units: by their mean and deviation.

    Args:
        keep: a trained model's weights are put in the new units as well, so that it says of the
            same real moment what it said before; else they are left as they are.
    """
    before = {name: unit.clone() for name, unit in model.named_buffers()}
    model.mean.copy_(data.observation.mean(0))
    model.scale.copy_(_spread(data.observation))
    change = (data.following - data.observation) / model.scale
    model.change_mean.copy_(change.mean(0))
    model.change_scale.copy_(_spread(change))
    model.reward_scale.copy_(torch.stack([data.reward.mean(), _spread(data.reward)]))
    model.reward_range.copy_(torch.stack([data.reward.min(), data.reward.max()]))
    if keep:
        _convert(model, before)


def _convert(model: Ensemble, before: dict[str, Tensor]) -> None:
    """Put the weights in the model's units, given those that they are in."""
    n = model.sizes.observation
    # A state in the old units is one in the new times this, plus that.
    times = model.scale / before["scale"]
    plus = (model.mean - before["mean"]) / before["scale"]
    following = n + model.sizes.action
    for members, places in ((model.dynamics, (0,)), (model.outcome, (0, following))):
        for at in places:
            weight = members.weights[0][:, at : at + n]
            members.biases[0].add_((plus[:, None] * weight).sum(1, keepdim=True))
            weight.mul_(times[:, None])
    # What is predicted, from the old units to the new.
    change = before["change_scale"] / (times * model.change_scale)
    offset = (before["change_mean"] / times - model.change_mean) / model.change_scale
    weight, bias = model.dynamics.weights[-1], model.dynamics.biases[-1]
    weight[..., :n].mul_(change)
    bias[..., :n].mul_(change).add_(offset)
    wider = 2.0 * change.log()
    for log_variance in (bias[..., n : 2 * n], model.least_log_variance, model.most_log_variance):
        log_variance.add_(wider)
    (own, scale), (mean, deviation) = before["reward_scale"], model.reward_scale
    model.outcome.weights[-1][..., 0].mul_(scale / deviation)
    model.outcome.biases[-1][..., 0].mul_(scale / deviation).add_((own - mean) / deviation)


def _spread(values: Tensor) -> Tensor:
    """Standard deviation, 1 for what hardly varies."""
    found = values.std(0)
    return torch.where(found > 1e-6 * (1.0 + values.abs().mean(0)), found, torch.ones_like(found))
