"""Ways in which an MDN-RNN trained with dropout could tell how unsure it is of a step.

All take the LSTM's output ``h`` ``[n, hidden]`` before the decision and the next latent ``z``
``[n, latent]`` that was drawn, and give float32 ``[n]``. The model's own spread is given beside
them: what it knows to be random is no doubt, and a doubt is worth something where it says more.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamenv.models.mdnrnn import MDNRNN
from dreamenv.models.mixture import Mixture
from dreamenv.models.two_hot import expectation


def doubts(
    model: MDNRNN, h: Tensor, z: Tensor, counts: Sequence[int] = (8, 32)
) -> dict[str, Tensor]:
    """By name; "both" is left to :func:`together`, which needs units."""
    found = {}
    for count in counts:
        reward, latent = masked(model, h, z, count)
        found |= {f"reward, {count} masks": reward, f"latent, {count} masks": latent}
    return found | {
        "reward, in closed form": slope(model, h, z),
        "latent, in closed form": spread(model, h),
    }


def own_spread(model: MDNRNN, h: Tensor, z: Tensor) -> dict[str, Tensor]:
    """Standard deviation of the reward and of the next latent as the model predicts them."""
    logits, _ = model.judge(h, z)
    mean = expectation(logits, model.reward_bins)
    square = (logits.softmax(-1) * model.reward_bins.square()).sum(-1)
    mixture = model.following(h)
    weights = mixture.logits.softmax(-2)
    center = expected(mixture).unsqueeze(-2)
    variance = (weights * ((2.0 * mixture.log_scale).exp() + (mixture.mean - center) ** 2)).sum(-2)
    return {
        "reward, predicted deviation": (square - mean.square()).clamp_min(0.0).sqrt(),
        "latent, predicted deviation": variance.mean(-1).sqrt(),
        "reward, predicted": mean,
    }


def masked(model: MDNRNN, h: Tensor, z: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Disagreement over fixed dropout masks (Gal & Ghahramani 2016): standard deviation of the
    expected reward, in the env's units, and of the expected next latent, root mean square over its
    dimensions."""
    generator = torch.Generator().manual_seed(0)
    keep = 1.0 - model.sizes.dropout
    masks = torch.empty(count, h.shape[1]).bernoulli_(keep, generator=generator) / keep
    rewards, means = [], []
    for mask in masks:
        seen = h * mask
        rewards.append(expectation(model.judge(seen, z)[0], model.reward_bins))
        means.append(expected(model.following(seen)))
    reward, mean = torch.stack(rewards), torch.stack(means)
    return reward.std(0, correction=0), mean.var(0, correction=0).mean(-1).sqrt()


def expected(mixture: Mixture) -> Tensor:
    """Mean of the next latent, ``[n, latent]``."""
    return (mixture.logits.softmax(-2) * mixture.mean).sum(-2)


def slope(model: MDNRNN, h: Tensor, z: Tensor) -> Tensor:
    """What infinitely many masks would give to first order (Wang & Manning 2013): the expected
    reward's slope by each unit of ``h``, times how far dropout moves that unit."""
    sizes = model.sizes
    first, _, last = model.outcome
    inner = first(torch.cat([h, z], dim=-1) if sizes.judges_next else h)
    gate = torch.sigmoid(inner)
    share = last(inner * gate)[..., :-1].softmax(-1)
    mean = (share * model.reward_bins).sum(-1, keepdim=True)
    back = (share * (model.reward_bins - mean)) @ last.weight[:-1]
    back = back * gate * (1.0 + inner * (1.0 - gate))
    by_unit = back @ first.weight[:, : sizes.hidden]
    return moved(sizes.dropout) * (by_unit * h).square().sum(-1).sqrt()


def spread(model: MDNRNN, h: Tensor) -> Tensor:
    """How far dropout moves the components' means, exactly, weighted by the components."""
    sizes = model.sizes
    mixture = model.following(h)
    each = sizes.mixtures * sizes.latent
    start = sizes.mixtures if sizes.joint else each
    weight = model.mixture.weight[start : start + each]
    variance = (h.square() @ weight.square().T).unflatten(-1, (sizes.mixtures, sizes.latent))
    return moved(sizes.dropout) * (mixture.logits.softmax(-2) * variance).sum(-2).mean(-1).sqrt()


def moved(dropout: float) -> float:
    """Standard deviation of a unit of 1 under dropout."""
    return float((dropout / (1.0 - dropout)) ** 0.5)
