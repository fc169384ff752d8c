"""Predicted endings: sampled, cut at a threshold, or ignored. One batch may mix them."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NEVER = 2.0
"""A bar that no probability passes."""


class Termination(IntEnum):
    """How a lane's episodes end; names as users give them, in capitals."""

    SAMPLE = 0
    THRESHOLD = 1
    NONE = 2


def termination_probability(logit: Tensor, temperature: Tensor) -> Tensor:
    """The logistic function of logit / temperature, ``[rows]``.

    Spelt out: ``torch.sigmoid`` rounds otherwise in the remainder of a vector, so that a lane's
    probability would depend on where in the batch it stands.
    """
    return 1.0 / (1.0 + torch.exp(-logit / temperature))


def bars(mode: NDArray[np.int8], threshold: float) -> NDArray[np.float32]:
    """What a probability must pass where it is not sampled, ``[lanes]``; NaN where it is."""
    values = np.array([np.nan, threshold, NEVER], np.float32)
    return values[mode]


def ended(probability: Tensor, bar: Tensor, uniform: Tensor) -> Tensor:
    """Whether each row's episode ends, bool ``[rows]``.

    Args:
        probability: float32 ``[rows]``.
        bar: as of :func:`bars`: the episode ends where the probability exceeds it.
        uniform: ``[rows]`` in (0, 1): the bar of rows that are sampled.
    """
    return probability > torch.where(bar.isnan(), uniform, bar)
