"""The options of a reset: which states the episodes are to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from dreamenv_client.actions import check_actions
from numpy.typing import NDArray


@dataclass(frozen=True)
class Beginning:
    """What the options of a reset ask for, checked."""

    index: NDArray[np.int64] | None = None
    """``[lanes]``: which start states; None to draw them."""
    observations: NDArray[np.uint8] | None = None
    """``[lanes, T, *observation]``, real ones to start from."""
    actions: NDArray[Any] | None = None
    """``[lanes, T - 1, *action]``, those taken between them."""


def check_options(
    options: Mapping[str, Any] | None,
    *,
    lanes: NDArray[np.intp],
    num_lanes: int,
    bank: int,
    observation_shape: tuple[int, ...],
    action_space: gym.Space[Any],
) -> Beginning:
    """The options of a reset, cut down to the lanes that are reset.

    Raises:
        ValueError: unknown option, wrong shape or dtype, or out of range.
    """
    options = dict(options or {})
    unknown = sorted(set(options) - {"start", "observations", "actions"})
    if unknown:
        raise ValueError(
            f"options: unknown {unknown}; expected start, or observations (with actions)."
        )
    if "start" in options and "observations" in options:
        raise ValueError("options: got both start and observations; expected one of them.")
    if "actions" in options and "observations" not in options:
        raise ValueError("options: got actions without observations; expected both.")
    if "start" in options:
        return Beginning(index=_check_start(options["start"], num_lanes, bank)[lanes])
    if "observations" not in options:
        return Beginning()
    observations = _check_observations(options["observations"], num_lanes, observation_shape)
    taken = observations.shape[1] - 1
    actions = _check_taken(options.get("actions"), num_lanes, taken, action_space)
    return Beginning(observations=observations[lanes], actions=actions[lanes])


def _check_start(start: Any, num_lanes: int, bank: int) -> NDArray[np.int64]:
    index = np.asarray(start)
    if index.dtype.kind not in "iu" or index.shape not in ((), (num_lanes,)):
        raise ValueError(
            f"options: start is {_described(start)}; expected an integer, or integers of "
            f"shape ({num_lanes},)."
        )
    if not 0 <= int(index.min()) <= int(index.max()) < bank:
        raise ValueError(
            f"options: start reaches from {index.min()} to {index.max()}; expected numbers from 0 "
            f"to {bank - 1}: the package has {bank} start states."
        )
    return np.broadcast_to(index.astype(np.int64), (num_lanes,))


def _check_observations(given: Any, num_lanes: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    array = np.asarray(given)
    shared, own = array.ndim == 1 + len(shape), array.ndim == 2 + len(shape)
    if (
        array.dtype != np.uint8
        or not (shared or own)
        or array.shape[-len(shape) :] != shape
        or (own and len(array) != num_lanes)
        or 0 in array.shape
    ):
        raise ValueError(
            f"options: observations is {_described(given)}; expected a uint8 array of shape "
            f"[T, *{shape}] or [{num_lanes}, T, *{shape}], T at least 1: preprocessed real frames."
        )
    return np.broadcast_to(array, (num_lanes, *array.shape)) if shared else array


def _check_taken(given: Any, num_lanes: int, taken: int, space: gym.Space[Any]) -> NDArray[Any]:
    """Actions between observations, in the space's dtype, ``[lanes, taken, *action]``."""
    shape = (taken, *(space.shape or ()))
    if given is None and taken:
        raise ValueError(
            f"options: {taken + 1} observations without actions; expected {taken} of them, those "
            "that were taken between the observations."
        )
    array: NDArray[Any] = np.zeros(shape, space.dtype) if given is None else np.asarray(given)
    if array.shape == shape:
        array = np.broadcast_to(array, (num_lanes, *shape))
    if array.shape != (num_lanes, *shape):
        raise ValueError(
            f"options: actions has shape {array.shape}; expected {shape} or {(num_lanes, *shape)}: "
            "one fewer than the observations."
        )
    flat = array.reshape(num_lanes * taken, *shape[1:])
    try:
        return check_actions(space, flat, len(flat)).reshape(array.shape)
    except ValueError as error:
        raise ValueError(f"options: actions, counted lane by lane as lanes: {error}") from error


def _described(value: Any) -> str:
    array = np.asarray(value)
    return f"of shape {array.shape} and dtype {array.dtype}"
