"""Whether actions lie within their bounds, told quicker than by what says why they do not."""

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
        if isinstance(space, gym.spaces.Discrete):
            low, high = [int(space.start)], [int(space.start + space.n - 1)]
        else:
            assert isinstance(space, gym.spaces.Box)
            low, high = space.low.ravel().tolist(), space.high.ravel().tolist()
        self._finite = all(map(math.isfinite, low + high))  # else infinity would lie within
        self._few = math.prod(self._shape) <= FEW
        self._alike = len({*low}) == len({*high}) == 1
        self._least, self._most = max(low), min(high)
        self._low, self._high = low * lanes, high * lanes

    def surely_hold(self, actions: Any) -> bool:
        """Whether they are right as they are, beyond doubt; False says nothing."""
        if not self._finite or type(actions) is not np.ndarray:
            return False
        if actions.shape != self._shape or actions.dtype != self._dtype:
            return False
        # NaN is on no side of anything.
        if self._few:
            values = actions.ravel().tolist()
            above = all(map(operator.le, self._low, values))
            return above and all(map(operator.le, values, self._high))
        if self._alike:
            return bool(self._least <= actions.min() and actions.max() <= self._most)
        return False
