"""The hinge: a batch of lanes, in numpy, with explicit snapshots.

A local dream and a remote session are both :class:`Lanes`; the three faces are written once on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LaneStep:
    """What every lane shows after a call. Arrays are fresh: no later call writes to them."""

    observation: NDArray[Any]
    """``[lanes, *observation]``, of the observation space's dtype."""
    reward: NDArray[np.float32]
    """``[lanes]``; 0 for a lane that was reset or left alone."""
    terminated: NDArray[np.bool_]
    """``[lanes]``: the model says the episode is over."""
    truncated: NDArray[np.bool_]
    """``[lanes]``: the horizon (or the trust limit) ended it; never true where terminated is."""
    info: dict[str, NDArray[Any]] = field(default_factory=dict)
    """``[lanes, ...]`` arrays by name."""


@dataclass(frozen=True)
class LaneSnapshot:
    """The full state of some lanes: dynamics, clock, stream position and knobs. Plain arrays."""

    model: str
    """Identity of the package whose state this is; another package refuses it."""
    arrays: dict[str, NDArray[Any]]
    """``[lanes, ...]`` arrays by name."""

    def __len__(self) -> int:
        return int(next(iter(self.arrays.values())).shape[0])


class Lanes(Protocol):
    """A batch of dreams, stepped as one."""

    num_lanes: int
    observation_space: gym.Space[Any]
    """Of one lane."""
    action_space: gym.Space[Any]
    """Of one lane."""

    def reset(
        self,
        mask: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> LaneStep:
        """Begin a new episode in the masked lanes (all if None); the others are left alone.

        Args:
            seeds: one a lane. A seed restarts that lane's stream at episode 0; None goes on to its
                next episode (a lane never seeded draws a seed from the operating system).
            options: ``{"observations": [T, *obs] or [lanes, T, *obs],
                "actions": [T-1, *action] or [lanes, T-1, *action]}`` starts the masked lanes from
                real observations (uint8 frames or float32 vectors), filtered through the model;
                ``{"start": int or int [lanes]}``
                picks start states by index.

        Raises:
            ValueError: wrong shape or dtype, out-of-range start, unknown option.
        """
        ...

    def step(
        self,
        actions: Any,
        reset: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> LaneStep:
        """Step every lane, except that masked lanes begin a new episode and ignore their action.

        Args:
            actions: array-like ``[lanes, *action]``, checked here, as
                :func:`~dreamenv_client.actions.check_actions` does.

        Raises:
            ValueError: action of the wrong shape or dtype, or NaN or out of bounds (naming lane
                and value); nothing has changed then.
            RuntimeError: a lane that was never reset, or whose episode is over, was stepped.
        """
        ...

    def set_knobs(self, lanes: Sequence[int] | None = None, **knobs: Any) -> None:
        """Set ``temperature``, ``termination``, ``termination_temperature``, ``horizon``,
        ``trust_penalty`` or ``trust_limit`` of some lanes (all if None). In force at once, except
        that ranges are drawn at the next episode."""
        ...

    def snapshot(self, lanes: Sequence[int] | None = None) -> LaneSnapshot:
        """A copy of those lanes' (all if None) full state."""
        ...

    def restore(self, snapshot: LaneSnapshot, lanes: Sequence[int] | None = None) -> LaneStep:
        """Put a snapshot's lanes, in order, into these lanes (all if None); they go on bitwise as
        the originals would. Returns what all lanes show now: ``terminated`` or ``truncated`` is
        true where a restored lane's episode is over, so that a face knows it waits for a reset."""
        ...

    def branch(
        self, source: Sequence[int], target: Sequence[int], seeds: Sequence[int] | None = None
    ) -> LaneStep:
        """Copy lanes onto others (or onto themselves, to change their seed). Without seeds a branch
        keeps its source's stream (and, given the same actions, its future); with them it goes on
        under its own. Returns what all lanes show now, as :meth:`restore` does."""
        ...

    def render(self, lanes: Sequence[int] | None = None) -> NDArray[np.uint8]:
        """What those lanes (all if None) see, decoded: uint8 ``[n, H, W, 3]``."""
        ...

    def close(self) -> None:
        """Free what is held; calling it twice is fine."""
        ...
