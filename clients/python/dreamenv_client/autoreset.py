"""Autoreset, in one place: which lanes wait for a reset, and when they get it.

Everything is built on one primitive, :meth:`~dreamenv_client.lanes.Lanes.step` with a mask of
lanes that begin a new episode instead. The modes are Gymnasium's
(https://farama.org/Vector-Autoreset-Mode).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from dreamenv_client.arguments import lane_indices
from dreamenv_client.lanes import Lanes, LaneSnapshot, LaneStep
from dreamenv_client.source import LazyLanes


@dataclass(frozen=True)
class Transition:
    """What one step of a batch gave."""

    step: LaneStep
    """As the lanes answered: where an episode ended, its last observation."""
    ended: NDArray[np.bool_]
    """``[lanes]``: this step ended the episode."""
    begun: LaneStep | None = None
    """What all lanes show now that the ended ones were reset (SAME_STEP); None if none were."""


class Autoreset:
    """A batch of lanes that knows which of them are over.

    - ``NEXT_STEP``: a lane that is over is reset by the next step, which ignores its action.
    - ``SAME_STEP``: the step that ends an episode begins the next one as well.
    - ``DISABLED``: the user resets; stepping a lane that is over is refused.
    """

    def __init__(self, lanes: LazyLanes, mode: AutoresetMode) -> None:
        self.lanes = lanes
        self.mode = mode
        self._over = np.zeros(lanes.num_lanes, np.bool_)
        self._begun: Lanes | None = None
        """The open lanes that ``_over`` speaks of, or None before the first reset."""

    @property
    def has_begun(self) -> bool:
        """Whether every lane was reset (or restored) in this process."""
        return self._begun is not None and self._begun is self.lanes.held

    def reset(
        self,
        mask: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> LaneStep:
        """Begin a new episode in the masked lanes (all if None).

        Raises:
            ResetNeeded: some lanes are left out, though none has begun.
            ValueError: as :meth:`Lanes.reset <dreamenv_client.lanes.Lanes.reset>`.
        """
        if mask is not None and mask.all():
            mask = None
        if mask is not None and not self.has_begun:
            raise ResetNeeded("the first reset is of all lanes: leave out options['reset_mask'].")
        lanes = self.lanes.open()
        shown = lanes.reset(mask, seeds, options)
        self._mark(lanes, slice(None) if mask is None else mask, False)
        return shown

    def step(self, actions: Any) -> Transition:
        """Step every lane, and reset those whose turn it is.

        Args:
            actions: array-like ``[lanes, *action]``.

        Raises:
            ResetNeeded: before the first reset, or for a lane that is over and not reset by this
                mode. Nothing has changed then.
            ValueError: a bad action; the lanes check it.
        """
        lanes = self._ready()
        over = self._over
        waiting: NDArray[np.bool_] | None = None
        if over.any():
            if self.mode is not AutoresetMode.NEXT_STEP:
                raise ResetNeeded(
                    f"the episode is over in lanes {np.flatnonzero(over).tolist()}: reset them "
                    "before the next step."
                )
            waiting = over
        step = lanes.step(actions, waiting)
        ended = step.terminated | step.truncated
        self._over = ended
        if self.mode is AutoresetMode.SAME_STEP and ended.any():
            begun = lanes.reset(ended)
            self._over = np.zeros_like(ended)
            return Transition(step, ended, begun)
        return Transition(step, ended)

    def snapshot(self, lanes: Iterable[int] | int | None = None) -> LaneSnapshot:
        """A copy of some lanes' (all if None) full state, over or not."""
        held = self._ready()
        return held.snapshot(None if lanes is None else lane_indices(lanes, held.num_lanes))

    def restore(
        self, snapshot: LaneSnapshot, lanes: Iterable[int] | int | None = None
    ) -> tuple[LaneStep, NDArray[np.bool_]]:
        """Put a snapshot's lanes, in order, into these (all if None). One that was over waits.

        Returns:
            What all lanes show now, and the mask of those restored.

        Raises:
            ResetNeeded: some lanes are left out, though none has begun.
            ValueError: wrong number of lanes, or another model's snapshot.
        """
        if not isinstance(snapshot, LaneSnapshot):
            raise ValueError(
                f"the snapshot is of type {type(snapshot).__name__}; expected a LaneSnapshot, "
                "as snapshot() gives."
            )
        into = lane_indices(lanes, self.lanes.num_lanes)
        if len(snapshot) != len(into):
            raise ValueError(
                f"the snapshot holds {len(snapshot)} lanes; expected {len(into)}. "
                "Name the lanes to restore, or take a snapshot of as many."
            )
        held = self.lanes.open() if len(into) == self.lanes.num_lanes else self._ready()
        shown = held.restore(snapshot, into)
        return shown, self._mark_shown(held, into, shown)

    def branch(
        self, source: Iterable[int], target: Iterable[int], seeds: Sequence[int] | None = None
    ) -> tuple[LaneStep, NDArray[np.bool_]]:
        """Copy lanes onto others; returns as :meth:`restore` does."""
        held = self._ready()
        origin = lane_indices(source, held.num_lanes, repeats=True)
        into = lane_indices(target, held.num_lanes)
        if len(origin) != len(into) or (seeds is not None and len(seeds) != len(into)):
            found = "" if seeds is None else f" and {len(seeds)} seeds"
            raise ValueError(
                f"got {len(origin)} source lanes, {len(into)} target lanes{found}; "
                "expected as many of each."
            )
        shown = held.branch(origin, into, seeds)
        return shown, self._mark_shown(held, into, shown)

    def render(self, lanes: Iterable[int] | int | None = None) -> NDArray[np.uint8]:
        """What some lanes (all if None) see: uint8 ``[n, H, W, 3]``."""
        held = self._ready()
        return held.render(None if lanes is None else lane_indices(lanes, held.num_lanes))

    def _ready(self) -> Lanes:
        lanes = self.lanes.current()
        if self._begun is not lanes:
            raise ResetNeeded("this dream has not begun: call reset first.")
        return lanes

    def _mark_shown(self, lanes: Lanes, into: list[int], shown: LaneStep) -> NDArray[np.bool_]:
        self._mark(lanes, into, (shown.terminated | shown.truncated)[into])
        mask = np.zeros(lanes.num_lanes, np.bool_)
        mask[into] = True
        return mask

    def _mark(self, lanes: Lanes, which: Any, over: Any) -> None:
        self._over = self._over.copy()
        self._over[which] = over
        self._begun = lanes

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_begun": None}
