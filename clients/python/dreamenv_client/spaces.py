"""Spaces as messages and back."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import DTYPES, dtype_number, from_tensor, to_tensor


def to_space(space: gym.Space[Any]) -> pb.Space:
    """A space as a message.

    Raises:
        TypeError: neither a ``Box`` nor a ``Discrete``.
    """
    if isinstance(space, gym.spaces.Discrete):
        return pb.Space(discrete=pb.Discrete(n=int(space.n), start=int(space.start)))
    if isinstance(space, gym.spaces.Box):
        return pb.Space(
            box=pb.Box(
                dtype=dtype_number(space.dtype),
                shape=space.shape,
                low=to_tensor(_shortest(space.low)),
                high=to_tensor(_shortest(space.high)),
            )
        )
    raise TypeError(f"expected a Box or a Discrete space, got {space}")


def from_space(message: pb.Space) -> gym.Space[Any]:
    """A message as a space.

    Raises:
        ValueError: of a kind that is not known here, or wrong in itself.
    """
    kind = message.WhichOneof("kind")
    if kind == "discrete":
        return gym.spaces.Discrete(message.discrete.n, start=message.discrete.start)
    if kind != "box":
        raise ValueError(f"the space is of kind {kind}; expected box or discrete. Upgrade.")
    box = message.box
    dtype = DTYPES.get(box.dtype)
    if dtype is None:
        raise ValueError(f"the space has dtype {box.dtype}; expected one of {sorted(DTYPES)}.")
    shape = tuple(box.shape)
    low, high = (
        np.broadcast_to(from_tensor(bound, "a bound of the space"), shape).astype(dtype)
        for bound in (box.low, box.high)
    )
    return gym.spaces.Box(low, high, shape, dtype.type)


def _shortest(bound: NDArray[Any]) -> NDArray[Any]:
    """One number where all are equal."""
    return bound.flat[0] if bound.size and (bound == bound.flat[0]).all() else bound
