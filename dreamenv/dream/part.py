"""Some lanes of a dream, in the hands of one owner who knows of no others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np
import torch
from dreamenv_client.actions import check_actions
from dreamenv_client.arguments import lane_indices
from dreamenv_client.bounds import Bounds
from dreamenv_client.lanes import LaneSnapshot, LaneStep
from numpy.typing import NDArray

from dreamenv.dream.arguments import check_mask, check_seeds
from dreamenv.dream.beginning import Beginning, check_options
from dreamenv.dream.clock import Rows, Status
from dreamenv.dream.one_step import STATE
from dreamenv.dream.snapshot import check_snapshot
from dreamenv.dream.table import GOING, Table
from dreamenv.dream.together import Turn, step_together

Options = Mapping[str, Any] | Beginning | None
"""Of a reset: as of :class:`dreamenv_client.lanes.Lanes`, or what :meth:`Part.beginning` gave."""

Method = TypeVar("Method", bound=Callable[..., Any])


def while_open(method: Method) -> Method:
    """Run a method of :class:`Part` without autograd, and refuse once it or its dream is closed."""

    @functools.wraps(method)
    def run(part: Part, *args: Any, **kwargs: Any) -> Any:
        part.require_open()
        with torch.inference_mode():
            return method(part, *args, **kwargs)

    return cast(Method, run)


def _at_once(slices: Generator[None, None, Beginning]) -> Beginning:
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: Beginning = end.value
            return result


class Part:
    """Some lanes of a dream: :class:`dreamenv_client.lanes.Lanes`, numbered from 0.

    Parts share a model and a table of states, and :func:`~dreamenv.dream.together.step_together`
    steps any of them as one batch; none reads or writes another's lanes, and each dreams bitwise
    what a dream of its own would. :meth:`~dreamenv.dream.dream.Dream.part` makes them.

    One call at a time, of all parts of a dream together; only :meth:`check` may run beside calls
    of others.

    Args:
        table: what is kept of the dream's lanes.
        at: which of them; a slice for all.
        observation_space: of one lane.
    """

    def __init__(self, table: Table, at: Rows, observation_space: gym.Space[Any]) -> None:
        self.table, self.at = table, at
        self.whole = isinstance(at, slice)
        """Whether these are all the dream's lanes."""
        self.lanes = np.arange(table.num_lanes) if isinstance(at, slice) else at
        """Their numbers in the dream."""
        self.num_lanes = count = len(self.lanes)
        self.observation_space = observation_space
        self.action_space = table.action_space
        self.identity = table.identity
        """Of the package: snapshots are only taken back by the same."""
        self.closed = False
        self._bounds = Bounds(self.action_space, count)
        self._status = table.clock.status
        self._only = int(self.lanes[0]) if count == 1 else None
        """The lane's number, if there is but one."""

    def reset(
        self,
        mask: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Options = None,
    ) -> LaneStep:
        self.require_open()
        which = np.flatnonzero(check_mask(mask, self.num_lanes, default=True))
        own = check_seeds(seeds, self.num_lanes)[which]
        beginning = _at_once(self.beginning(options, mask))
        with torch.inference_mode():
            self.table.begin(self.lanes[which], own, beginning)
            return self._shown()

    def step(
        self,
        actions: Any,
        reset: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Options = None,
    ) -> LaneStep:
        return step_together([self.check(actions, reset, seeds, options)])[0]

    def check(
        self,
        actions: Any,
        reset: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Options = None,
    ) -> Turn:
        """See whether a step is possible, and change nothing.

        Takes and raises what :meth:`step` does.

        Returns:
            The step, for :func:`~dreamenv.dream.together.step_together`, until this part is called
            again. It holds ``actions`` and ``reset`` themselves: leave them as they are.
        """
        if self.closed or self.table.closed:
            self.require_open()
        if reset is not None:
            check_mask(reset, self.num_lanes, default=False)
            if not np.count_nonzero(reset):
                reset = None
        if reset is not None or not self._bounds.surely_hold(actions):
            actions = check_actions(self.action_space, actions, self.num_lanes, reset)
        own = beginning = None
        if seeds is not None:
            own = check_seeds(seeds, self.num_lanes)
        if options is not None:
            begun = np.zeros(self.num_lanes, np.bool_) if reset is None else reset
            beginning = _at_once(self.beginning(options, begun))
        if reset is not None or self._only is None or self._status.item(self._only) != GOING:
            self.require_going(reset)
        return Turn(self, actions, reset, own, beginning)

    def set_knobs(self, lanes: Sequence[int] | None = None, **knobs: Any) -> None:
        self.require_open()
        self.table.knobs.set(self._numbers(lanes), **knobs)

    @while_open
    def snapshot(self, lanes: Sequence[int] | None = None) -> LaneSnapshot:
        which = self._numbers(lanes)
        arrays = {name: array[which] for name, array in self.table.arrays().items()}
        for name, rows in self.table.lanes.states.copies(which).items():
            arrays[STATE + name] = rows.cpu().numpy()
        return LaneSnapshot(self.identity, arrays)

    @while_open
    def restore(self, snapshot: LaneSnapshot, lanes: Sequence[int] | None = None) -> LaneStep:
        which = self._numbers(lanes)
        like = self.snapshot([0]).arrays
        arrays = check_snapshot(
            snapshot,
            model=self.identity,
            lanes=len(which),
            like=like,
            tells=self.table.config.trust is not None,
        )
        state = {n: torch.tensor(arrays[STATE + n]) for n in self.table.lanes.states.names}
        self.table.put(which, arrays, state)
        return self._shown()

    def branch(
        self, source: Sequence[int], target: Sequence[int], seeds: Sequence[int] | None = None
    ) -> LaneStep:
        return self._copy(self, source, target, seeds)

    def copy(
        self, source: Part, lanes: Sequence[int], seeds: Sequence[int] | None = None
    ) -> LaneStep:
        """Copy lanes of another part of the same dream onto all of this one, as :meth:`branch`
        does within a part.

        Args:
            source: the other part; it does not change.
            lanes: which of its lanes, as many as this part has; one may be named several times.
            seeds: streams of their own; None to keep those of the source.

        Raises:
            ValueError: a part of another dream, or wrong lanes or seeds.
            RuntimeError: a source lane was never reset.
        """
        if source.table is not self.table:
            raise ValueError("the source is a part of another dream: restore a snapshot instead.")
        source.require_open()
        return self._copy(source, lanes, None, seeds)

    @while_open
    def render(self, lanes: Sequence[int] | None = None) -> NDArray[np.uint8]:
        return self.table.lanes.pictures(self._numbers(lanes))

    def close(self) -> None:
        """Give the lanes back, wiped: the next owner finds them as in a new dream."""
        if not self.closed:
            self.closed = True
            if not self.table.closed:
                with torch.inference_mode():
                    self.table.wipe(self.lanes)
                self.table.taken[self.lanes] = False

    def require_open(self) -> None:
        """Refuse to go on if this part or its dream was closed.

        Raises:
            RuntimeError: it was.
        """
        if self.closed or self.table.closed:
            raise RuntimeError("this dream was closed: make a new one.")

    def require_going(self, reset: NDArray[np.bool_] | None) -> None:
        """Refuse to step lanes that cannot be, but for those masked.

        Raises:
            RuntimeError: one was never reset, or its episode is over.
        """
        if not self.table.can_step(self.at, reset):
            self.table.clock.require_going(self.at, None if reset is None else ~reset)

    @while_open
    def _copy(
        self,
        source: Part,
        lanes: Sequence[int],
        target: Sequence[int] | None,
        seeds: Sequence[int] | None,
    ) -> LaneStep:
        origin = source.lanes[lane_indices(lanes, source.num_lanes, repeats=True)]
        into = self._numbers(target)
        if len(origin) != len(into):
            raise ValueError(f"got {len(origin)} source lanes and {len(into)} target lanes.")
        fresh = check_seeds(seeds, len(into))
        if (self.table.clock.status[origin] == Status.UNBEGUN).any():
            raise RuntimeError("a source lane was never reset: reset it before branching from it.")
        self.table.copy(origin, into, fresh)
        return self._shown()

    def _shown(self) -> LaneStep:
        return self.table.shown(self.at, None)

    def _numbers(self, lanes: Sequence[int] | None) -> NDArray[np.intp]:
        """The numbers in the dream of some of these lanes."""
        return self.lanes[lane_indices(lanes, self.num_lanes)]

    def beginning(
        self, options: Options, mask: NDArray[np.bool_] | None
    ) -> Generator[None, None, Beginning]:
        """What the options of a reset ask for, with the states that real observations lead to.

        In slices, between which other parts may be called: for :meth:`reset` or :meth:`step`, in
        place of the options.

        Args:
            options: as of :meth:`reset`.
            mask: the lanes that will begin an episode; all if None.

        Raises:
            ValueError: bad options.
        """
        which = np.flatnonzero(check_mask(mask, self.num_lanes, default=True))
        if isinstance(options, Beginning):
            return options
        table = self.table
        bank, config = len(table.bank), table.config
        asked = check_options(options, which, num_lanes=self.num_lanes, bank=bank, config=config)
        return (yield from asked.seen(table.lanes.model, len(which)))
