"""The options of a reset: which states the episodes are to begin with."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from dreamenv_client.actions import check_actions
from dreamenv_client.arguments import as_array, option_dict
from numpy.typing import NDArray

from dreamenv.config import PackageConfig
from dreamenv.dream.starts import filtered
from dreamenv.models.world_model import State, WorldModel
from dreamenv.vectors import check_bounded


@dataclass(frozen=True)
class Beginning:
    """What the options of a reset ask for, checked."""

    index: NDArray[np.int64] | None = None
    """``[lanes]``: which start states; None to draw them."""
    real: tuple[NDArray[Any], NDArray[Any]] | None = None
    """Real observations ``[lanes, T, *observation]`` to start from, and the actions between them
    ``[lanes, T - 1, *action]``, or ``[1, ...]`` of both for all; None to start from the bank."""
    state: State | None = None
    """What the model makes of those, once :meth:`seen` has shown them to it."""

    def seen(self, model: WorldModel, lanes: int) -> Generator[None, None, Beginning]:
        """The same with the model's state, in slices: many real observations take long."""
        if self.real is None or self.state is not None or not lanes:
            return self
        state = yield from filtered(model, *self.real, lanes=lanes)
        return replace(self, state=state)


def check_options(
    options: Mapping[str, Any] | None,
    lanes: NDArray[np.intp],
    *,
    num_lanes: int,
    bank: int,
    config: PackageConfig,
) -> Beginning:
    """The options of a reset, cut down to the lanes that are reset.

    Args:
        bank: number of start states.

    Raises:
        ValueError: no mapping, unknown option, wrong shape or dtype, or out of range.
    """
    options = option_dict(options)
    unknown = sorted(set(options) - {"start", "observations", "actions"}, key=repr)
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
    observations = _check_observations(options["observations"], num_lanes, config)
    taken = observations.shape[1] - 1
    actions = _check_taken(options.get("actions"), num_lanes, taken, config.action.space())
    if len(observations) == len(actions) == 1:
        return Beginning(real=(observations, actions))
    return Beginning(
        real=(
            np.broadcast_to(observations, (num_lanes, *observations.shape[1:]))[lanes],
            np.broadcast_to(actions, (num_lanes, *actions.shape[1:]))[lanes],
        )
    )


def _check_start(start: Any, num_lanes: int, bank: int) -> NDArray[np.int64]:
    expected = f"an integer, or integers of shape ({num_lanes},)"
    index = as_array("options: start", start, expected)
    if index.dtype.kind not in "iu" or index.shape not in ((), (num_lanes,)):
        raise ValueError(f"options: start is {_described(index)}; expected {expected}.")
    if not 0 <= int(index.min()) <= int(index.max()) < bank:
        raise ValueError(
            f"options: start reaches from {index.min()} to {index.max()}; expected numbers from 0 "
            f"to {bank - 1}: the package has {bank} start states."
        )
    return np.broadcast_to(index.astype(np.int64), (num_lanes,))


def _check_observations(given: Any, num_lanes: int, config: PackageConfig) -> NDArray[Any]:
    """``[lanes or 1, T, *observation]``, in the package's dtype; of floats, numbers that an env
    shows."""
    shape, dtype = tuple(config.observation_shape), config.observation_dtype
    expected = f"{dtype} of shape (T, *{shape}) or ({num_lanes}, T, *{shape}), T at least 1"
    array = as_array("options: observations", given, expected)
    shared = array.ndim == 1 + len(shape)
    batch = array[None] if shared else array
    if (
        array.dtype != dtype
        or batch.ndim != 2 + len(shape)
        or batch.shape[2:] != shape
        or len(batch) != (1 if shared else num_lanes)
        or batch.shape[1] == 0
    ):
        raise ValueError(
            f"options: observations is {_described(array)}; expected {expected}: real frames or "
            "vectors, preprocessed."
        )
    check_bounded("options: observations", array)
    return batch


def _check_taken(given: Any, num_lanes: int, taken: int, space: gym.Space[Any]) -> NDArray[Any]:
    """Actions between observations, in the space's dtype: ``[lanes or 1, taken, *action]``."""
    shape = (taken, *(space.shape or ()))
    if given is None and taken:
        raise ValueError(
            f"options: {taken + 1} observations without actions; expected {taken} of them, those "
            "that were taken between the observations."
        )
    expected = f"{shape} or {(num_lanes, *shape)}: one fewer than the observations"
    if given is None:
        given = np.zeros(shape, space.dtype)
    array = as_array("options: actions", given, f"an array of shape {expected}")
    if array.shape not in (shape, (num_lanes, *shape)):
        raise ValueError(f"options: actions has shape {array.shape}; expected {expected}.")
    batch = array[None] if array.shape == shape else array
    checked = np.empty(batch.shape, space.dtype)
    for time in range(taken):
        try:
            checked[:, time] = check_actions(space, batch[:, time], len(batch))
        except ValueError as error:
            raise ValueError(f"options: actions, number {time}: {error}") from error
    return checked


def _described(array: NDArray[Any]) -> str:
    return f"of shape {array.shape} and dtype {array.dtype}"
