"""Whether a few actions lie within their bounds, quicker than NumPy can tell."""

from __future__ import annotations

import math
import operator
from typing import Any

import gymnasium as gym
import numpy as np

FEW = 64
"""Numbers that Python compares faster than NumPy."""


class Bounds:
    """Of the actions of some lanes.

    Args:
        space: of one lane, a ``Box`` of floats or a ``Discrete``.
        lanes: how many.
    """

    def __init__(self, space: gym.Space[Any], lanes: int) -> None:
        self._shape, self._dtype = (lanes, *(space.shape or ())), np.dtype(space.dtype)
        self._few = math.prod(self._shape) <= FEW
        if isinstance(space, gym.spaces.Discrete):
            low, high = [int(space.start)], [int(space.start + space.n - 1)]
        else:
            assert isinstance(space, gym.spaces.Box)
            low, high = space.low.ravel().tolist(), space.high.ravel().tolist()
        self._low, self._high = low * lanes, high * lanes

    def surely_hold(self, actions: Any) -> bool:
        """Whether they are right as they are, beyond doubt; False says nothing."""
        if not self._few or type(actions) is not np.ndarray:
            return False
        if actions.shape != self._shape or actions.dtype != self._dtype:
            return False
        values = actions.ravel().tolist()  # NaN is on no side of anything
        above = all(map(operator.le, self._low, values))
        return above and all(map(operator.le, values, self._high))
