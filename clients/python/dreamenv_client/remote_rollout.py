"""A rollout's replies, put together as they come."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv_client.errors import RemoteError
from dreamenv_client.lanes import LaneStep
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import LANE_ARRAYS, from_named, from_tensor


class RolloutArrays:
    """Arrays ``[lanes, horizon, ...]``, filled step by step."""

    def __init__(self, lanes: int, horizon: int) -> None:
        self._size = (lanes, horizon)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._info: dict[str, NDArray[Any]] = {}
        self._filled = 0

    def take(self, reply: pb.RolloutReply) -> None:
        """Put a reply in its place; one with ``first`` 0 begins anew.

        Raises:
            RemoteError: steps are missing before it, or it is of another size.
        """
        if reply.first not in (0, self._filled):
            raise RemoteError(
                f"a rollout's reply begins at step {reply.first}; expected {self._filled}."
            )
        message = reply.steps
        arrays = {
            name: from_tensor(getattr(message, name), name)
            for name in LANE_ARRAYS
            if message.HasField(name)
        }
        steps = arrays["reward"].shape[1]
        self._put(self._arrays, arrays, reply.first, steps)
        self._put(self._info, from_named(message.info), reply.first, steps)
        self._filled = reply.first + steps

    def step(self, unseen: gym.Space[Any] | None) -> LaneStep:
        """All of it; ``unseen`` is the space of observations that were not sent.

        Raises:
            RemoteError: it is not all there.
        """
        if self._filled != self._size[1]:
            raise RemoteError(
                f"the rollout ended after {self._filled} steps; expected {self._size[1]}."
            )
        if unseen is not None:
            shape = (self._size[0], 0, *(unseen.shape or ()))
            self._arrays["observation"] = np.empty(shape, unseen.dtype)
        return LaneStep(info=self._info, **self._arrays)

    def _put(
        self, into: dict[str, NDArray[Any]], arrays: dict[str, NDArray[Any]], first: int, steps: int
    ) -> None:
        for name, array in arrays.items():
            if array.shape[:2] != (self._size[0], steps) or first + steps > self._size[1]:
                raise RemoteError(
                    f"a rollout's {name} has shape {array.shape} from step {first}; expected at "
                    f"most {self._size}."
                )
            if name not in into:
                into[name] = np.empty((*self._size, *array.shape[2:]), array.dtype)
            into[name][:, first : first + steps] = array
