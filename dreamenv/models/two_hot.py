"""Rewards as a distribution over fixed bins, so that a prediction cannot leave the data's range.

Two-hot targets over symexp-spaced bins (Hafner et al. 2023, *DreamerV3*, eq. 8–10).
"""

from __future__ import annotations

import torch
from torch import Tensor


def symlog_bins(low: float, high: float, count: int) -> Tensor:
    """``count`` increasing bins from ``low`` to ``high``, evenly spaced under symlog.

    Raises:
        ValueError: if ``low >= high`` or ``count < 2``, or if the ends are so close that float32
            cannot tell the bins apart.
    """
    if not low < high or count < 2:
        raise ValueError(f"expected low < high and count ≥ 2, got {low}, {high}, {count}")
    ends = torch.tensor([low, high], dtype=torch.float64)
    ends = ends.sign() * ends.abs().log1p()
    grid = torch.linspace(float(ends[0]), float(ends[1]), count, dtype=torch.float64)
    bins = grid.sign() * grid.abs().expm1()
    bins[0], bins[-1] = low, high
    rounded = bins.to(torch.float32)
    if not bool((rounded.diff() > 0).all()):
        raise ValueError(f"{low} and {high} are too close for {count} bins in float32")
    return rounded


def two_hot(values: Tensor, bins: Tensor) -> Tensor:
    """Weights ``[..., bins]`` on the two bins around each value, whose mean is the value.

    Values beyond the ends are cut to them.
    """
    values = values.clamp(bins[0], bins[-1])
    above = torch.searchsorted(bins, values.contiguous()).clamp(1, len(bins) - 1)
    low, high = bins[above - 1], bins[above]
    weight = (values - low) / (high - low)
    target = torch.zeros(*values.shape, len(bins), device=values.device)
    target.scatter_(-1, above.unsqueeze(-1), weight.unsqueeze(-1))
    target.scatter_(-1, (above - 1).unsqueeze(-1), (1.0 - weight).unsqueeze(-1))
    return target


def expectation(logits: Tensor, bins: Tensor) -> Tensor:
    """Mean of the predicted distribution, ``[...]`` of ``[..., bins]``."""
    return (logits.softmax(-1) * bins).sum(-1)
