"""Actions, checked at the door: by the faces, by a local dream and by a server alike."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv_client.arguments import as_array

TOLERANCE = 1e-6
"""How far outside its bounds an action may lie: rounding, not intent."""


def check_actions(
    space: gym.Space[Any],
    actions: Any,
    num_lanes: int,
    ignore: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """The actions of a batch in their canonical dtype, or a ValueError that says what is wrong.

    Real numbers of any width are taken for a ``Box`` (integers where the cast is exact), integers
    of any width for a ``Discrete``; bool, complex, str and object arrays are not.

    Args:
        space: one lane's action space, a ``Box`` of floats or a ``Discrete``.
        actions: array-like ``[num_lanes, *space.shape]``.
        num_lanes: how many lanes the batch has.
        ignore: ``[num_lanes]``, lanes whose action will not be used: they may hold anything, and
            hold a valid action in what is returned.

    Returns:
        ``[num_lanes, *space.shape]`` of the space's dtype for a ``Box``, int64 for a ``Discrete``.
        Not copied where it was right already.

    Raises:
        ValueError: wrong shape or dtype, NaN, or more than 1e-6 out of bounds; the message names
            lane and value. Nothing is changed then.
        TypeError: the space is of another kind.

    Examples:
        >>> box = gym.spaces.Box(-1, 1, (2,))
        >>> check_actions(box, [[0.0, 0.5], [1.0, -1.0]], num_lanes=2)
        array([[ 0. ,  0.5],
               [ 1. , -1. ]], dtype=float32)
        >>> check_actions(box, [[0.0, 0.5], [1.0, 1.5]], num_lanes=2)
        Traceback (most recent call last):
            ...
        ValueError: lane 1: action[1] is 1.5; expected a number in [-1.0, 1.0]. Clip or rescale ...
    """
    array = as_array("actions", actions, f"an array of shape {(num_lanes, *_shape(space))}")
    if array.shape != (num_lanes, *_shape(space)):
        raise ValueError(
            f"actions have shape {array.shape}; expected {(num_lanes, *_shape(space))}: one action "
            f"of shape {_shape(space)} for each lane, {num_lanes} in all."
        )
    if isinstance(space, gym.spaces.Discrete):
        return _check_discrete(space, array, ignore)
    if isinstance(space, gym.spaces.Box) and space.dtype.kind == "f":
        return _check_box(space, array, ignore)
    raise TypeError(f"expected a Box of floats or a Discrete action space, got {space}")


def one_action(space: gym.Space[Any], action: Any) -> NDArray[Any]:
    """One lane's action as a batch of one, for :func:`check_actions` to check.

    Raises:
        ValueError: wrong shape.
    """
    array = as_array("action", action, f"an array of shape {_shape(space)}")
    if array.shape != _shape(space):
        raise ValueError(f"the action has shape {array.shape}; expected {_shape(space)}.")
    return array[None]


def _shape(space: gym.Space[Any]) -> tuple[int, ...]:
    return space.shape or ()


def _check_box(
    space: gym.spaces.Box, array: NDArray[Any], ignore: NDArray[np.bool_] | None
) -> NDArray[Any]:
    if array.dtype.kind not in "fiu":
        raise ValueError(
            f"actions have dtype {array.dtype}; expected real numbers ({space.dtype}). "
            f"Convert them with np.asarray(actions, np.{space.dtype})."
        )
    cast = array
    if array.dtype != space.dtype:
        with np.errstate(over="ignore"):  # a float64 too great becomes inf, refused below
            cast = array.astype(space.dtype)
    good = (cast >= space.low) & (cast <= space.high)  # NaN is neither
    if not good.all():
        good = (cast >= space.low - TOLERANCE) & (cast <= space.high + TOLERANCE)
    good &= np.isfinite(cast)
    if array.dtype.kind in "iu":
        good &= cast == array
    if ignore is not None and ignore.any():
        good[ignore] = True
        cast = cast.copy()
        cast[ignore] = np.clip(0, space.low, space.high)
    if not good.all():
        lane, *index = (int(i) for i in np.argwhere(~good)[0])
        value, low, high = array[lane, *index], space.low[*index], space.high[*index]
        if not np.isfinite(value):
            fix = "Look where it comes from: a policy that diverged, an observation divided by 0."
        elif low <= value <= high:
            fix = f"Integers this great have no exact {space.dtype}: give floats."
        else:
            fix = "Clip or rescale the actions to the action space."
        place = f"[{', '.join(map(str, index))}]" if index else ""
        raise ValueError(
            f"lane {lane}: action{place} is {value}; expected a number in [{low}, {high}]. {fix}"
        )
    return cast


def _check_discrete(
    space: gym.spaces.Discrete[Any], array: NDArray[Any], ignore: NDArray[np.bool_] | None
) -> NDArray[Any]:
    first, last = int(space.start), int(space.start + space.n - 1)
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"actions have dtype {array.dtype}; expected integers from {first} to {last}. "
            "Convert them with np.asarray(actions, np.int64)."
        )
    good = (array >= first) & (array <= last)
    if ignore is not None and ignore.any():
        good[ignore] = True
        array = np.where(ignore, first, array)
    if not good.all():
        lane = int(np.argmin(good))
        raise ValueError(
            f"lane {lane}: action is {array[lane]}; expected an integer from {first} to {last}."
        )
    return array.astype(np.int64, copy=False)
