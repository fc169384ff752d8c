"""Where a face gets its lanes: opened late, and only in the process that uses them."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.error import ClosedEnvironmentError, ResetNeeded

from dreamenv_client.arguments import lane_indices
from dreamenv_client.lanes import Lanes


@dataclass(frozen=True)
class LaneSource:
    """What a face must know before any lane is open.

    Spaces come first and lanes on the first reset, so that making an env imports no torch, opens
    no channel, and may be followed by a fork. A source is pickled along with its env.
    """

    observation_space: gym.Space[Any]
    """Of one lane."""
    action_space: gym.Space[Any]
    """Of one lane: a ``Box`` of floats or a ``Discrete``."""
    open: Callable[[int], Lanes]
    """Makes a batch of so many lanes. Must pickle (by cloudpickle) if the env is to."""
    render_fps: float = 30.0
    """Decisions a second, for videos."""
    check_knobs: Callable[..., object] | None = None
    """Called with the keywords of ``set_knobs`` while no lane is open; raises ValueError for bad
    ones. Without it those are found out when the lanes open."""

    def __deepcopy__(self, memo: dict[int, Any]) -> LaneSource:
        """Itself: nothing in it changes, and ``open`` may hold weights."""
        return self


class LazyLanes:
    """A batch of lanes that opens on demand, once in each process that resets it.

    A child process never touches the lanes that it inherits through a fork (threads and channels
    do not survive one), and pickles and deep copies leave them out: there the env must be reset,
    which opens lanes of its own. Knobs set through :meth:`set_knobs` are set on those again.
    """

    def __init__(self, source: LaneSource, num_lanes: int) -> None:
        if num_lanes < 1:
            raise ValueError(f"num_envs is {num_lanes}; expected at least 1.")
        self.source = source
        self.num_lanes = num_lanes
        self._lanes: Lanes | None = None
        self._process = -1
        self._inherited: list[Lanes] = []
        self._knobs: dict[tuple[tuple[int, ...] | None, str], Any] = {}
        self.closed = False
        """Whether they were closed, and not opened again since."""

    @property
    def held(self) -> Lanes | None:
        """The lanes open in this process, or None."""
        return self._lanes if self._process == os.getpid() else None

    def current(self) -> Lanes:
        """The open lanes.

        Raises:
            ResetNeeded: none are open in this process.
            ClosedEnvironmentError: the env was closed.
        """
        if self._lanes is not None and self._process == os.getpid():
            return self._lanes
        if self.closed:
            raise ClosedEnvironmentError("this dream was closed: call reset to open it again.")
        if self._lanes is None:
            raise ResetNeeded("this dream has not begun: call reset first.")
        raise ResetNeeded(
            f"this dream was begun by process {self._process} and inherited by {os.getpid()} "
            "through a fork: call reset here first, which opens lanes of its own."
        )

    def open(self) -> Lanes:
        """The open lanes, opened now if need be: after a close as well, which SB3's checker needs.

        Raises:
            ValueError: the lanes are not what the source declared, or refuse a knob set earlier
                (which is then forgotten).
        """
        if self.held is not None:
            return self.current()
        lanes = self.source.open(self.num_lanes)
        try:
            self._check_spaces(lanes)
            for key in list(self._knobs):
                indices, name = key
                value = self._knobs.pop(key)
                lanes.set_knobs(indices, **{name: value})
                self._knobs[key] = value
        except BaseException:
            lanes.close()
            raise
        if self._lanes is not None:
            # Kept alive: its destructor must not run in a process that does not own it.
            self._inherited.append(self._lanes)
        self._lanes, self._process, self.closed = lanes, os.getpid(), False
        return lanes

    def set_knobs(self, lanes: Iterable[int] | int | None, knobs: dict[str, Any]) -> None:
        """Set knobs on some lanes (all if None): at once if open, else as they open.

        Raises:
            ValueError: no such lane or knob, or a bad value; nothing has changed then.
        """
        if self.closed:
            self.current()
        indices = None if lanes is None else tuple(lane_indices(lanes, self.num_lanes))
        held = self.held
        if held is not None:
            held.set_knobs(indices, **knobs)
        elif self.source.check_knobs is not None:
            self.source.check_knobs(**knobs)
        for name, value in knobs.items():
            self._knobs.pop((indices, name), None)  # later settings come last, and win
            self._knobs[indices, name] = copy.deepcopy(value)

    def close(self) -> None:
        """Close the lanes that this process opened; calling it twice is fine."""
        held = self.held
        self.closed = True
        if held is not None:
            self._lanes = None
            held.close()

    def _check_spaces(self, lanes: Lanes) -> None:
        for name in ("num_lanes", "observation_space", "action_space"):
            found = getattr(lanes, name)
            expected = self.num_lanes if name == "num_lanes" else getattr(self.source, name)
            if found != expected:
                raise ValueError(
                    f"the lanes opened with {name} {found}; expected {expected}. "
                    "The model changed after the env was made: make the env again."
                )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lanes": None, "_process": -1, "_inherited": []}
