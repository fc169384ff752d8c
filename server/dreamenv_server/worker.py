"""The one task that owns the device: it steps whoever is waiting as one batch.

Everything that reads or writes lanes' states runs in here, one thing at a time: turns (steps that
can be batched), jobs (all other calls, in slices, so that a long one holds nobody up for long), and
turns of rollouts, which give way to both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from dreamenv_client.lanes import LaneStep

from dreamenv.dream.part import Part
from dreamenv.dream.together import Turn, step_together
from dreamenv_server.metrics import Metrics
from dreamenv_server.pool import Pool

log = logging.getLogger("dreamenv_server")
QUICK = 0.01
"""Seconds that the event loop may stand still for a batch; longer ones run in a thread, which costs
a quarter of a millisecond more."""
HOLD = 0.0001
"""Seconds for which a batch is held back at most, where that lets others join it."""
BACKGROUND_LANES = 256
"""Lanes of rollouts stepped at a time, between the batches of those who step."""

T = TypeVar("T")
Done = Callable[[Any, BaseException | None], None]
"""Takes a result, or what was raised instead."""
Job = Generator[None, None, Any]
"""A call in slices: each ``next`` is one; what it returns (StopIteration's value) is the result."""


@dataclass(slots=True)
class Waiting:
    """A turn, and whom to tell."""

    turn: Turn
    done: Done


class Worker:
    """See the module. For one event loop; its methods are called from there."""

    def __init__(self, metrics: Metrics, threads: int) -> None:
        """``threads``: of torch, wherever a batch runs."""
        self._metrics = metrics
        self._turns: dict[Pool, list[Waiting]] = {}
        self._background: dict[Pool, deque[Waiting]] = {}
        self._jobs: deque[tuple[Job, Done, bool]] = deque()
        self._wake = asyncio.Event()
        self._resting = False
        """Whether it waits for something to do: then the loop may step a lone session itself."""
        self._thread = ThreadPoolExecutor(
            1, thread_name_prefix="device", initializer=torch.set_num_threads, initargs=(threads,)
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.get_running_loop().create_task(self._work(), name="device worker")

    async def stop(self) -> None:
        """Finish what is being done, and leave the rest undone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=True)

    def turn(self, pool: Pool, turn: Turn, done: Done) -> None:
        """Step some lanes in the next batch; at once, where there is nobody to share it with."""
        now = time.perf_counter()
        pool.came(turn.part, now)
        one = Waiting(turn, done)
        if self._resting and self._is_quick(pool, len(turn.actions)) and not pool.any_due(now):
            steps = None
            try:
                steps = _stepped(pool, [one])
            except Exception as error:  # a fault of ours ends sessions, not the worker
                _fail([one], error)
            self._told(pool, [one], steps, now, 0.0)
            return
        waiting = self._turns.get(pool)
        if waiting is None:
            self._turns[pool] = [one]
        else:
            waiting.append(one)
        self._awake()

    def background(self, pool: Pool, turn: Turn) -> asyncio.Future[LaneStep]:
        """Step some lanes when nobody else waits for the device, or in between."""
        future: asyncio.Future[LaneStep] = asyncio.get_running_loop().create_future()
        waiting = Waiting(turn, _into(future))
        self._background.setdefault(pool, deque()).append(waiting)
        self._awake()
        return future

    def job(self, job: Job, done: Done, *, quick: bool = False) -> None:
        """Do anything else with lanes, after the jobs that came before.

        ``quick``: its slices take so little time that the loop may stand still for them.
        """
        self._jobs.append((job, done, quick))
        self._awake()

    def give_back(self, pool: Pool, part: Part, done: Callable[[], None] | None = None) -> None:
        """Have a part's lanes wiped and let others take them; ``done`` is called after that."""
        lanes = part.lanes.tolist()

        def wiped(_: object, error: BaseException | None) -> None:
            if error is None:
                pool.give_back(lanes)
            else:  # lanes that may hold somebody's state are not handed out again
                log.error("lanes were not wiped", exc_info=error)
            if done is not None:
                done()

        pool.forget(part)
        self.job(once(part.close), wiped, quick=True)

    async def run(self, function: Callable[[], Any]) -> Any:
        """What a function returns that is run as a job of one slice."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.job(once(function), _into(future))
        return await future

    async def in_thread(self, function: Callable[[], T]) -> T:
        """What a function returns that touches no lane of a pool, run beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _awake(self) -> None:
        self._resting = False
        self._wake.set()

    async def _work(self) -> None:
        while True:
            if not self._wake.is_set():
                self._resting = True
                await self._wake.wait()
            held = await self._hold()
            self._wake.clear()
            turns, self._turns = self._turns, {}
            for pool, waiting in turns.items():
                began = time.perf_counter()
                self._told(pool, waiting, await self._step(pool, waiting), began, held)
            if self._jobs:
                await self._slice()
            for pool in list(self._background):
                await self._background_batch(pool)
            if self._jobs or self._background:
                self._awake()
                await asyncio.sleep(0)

    async def _hold(self) -> float:
        """Wait a moment where sessions that stepped lately are due to step again."""
        turns = self._turns
        if not turns or self._jobs:
            return 0.0
        began = time.perf_counter()
        while time.perf_counter() - began < HOLD and any(
            pool.any_due(time.perf_counter()) for pool in turns
        ):
            await asyncio.sleep(0)
        return time.perf_counter() - began

    def _told(
        self,
        pool: Pool,
        waiting: list[Waiting],
        steps: list[LaneStep] | None,
        began: float,
        held: float,
    ) -> None:
        """Tell those who stepped together."""
        now = time.perf_counter()
        if steps is not None:
            _tell(waiting, steps)
        pool.answered((one.turn.part for one in waiting), now)
        self._metrics.batch(_lanes(waiting), now - began, held)

    async def _background_batch(self, pool: Pool) -> None:
        queue = self._background[pool]
        waiting: list[Waiting] = []
        lanes = 0
        while queue and (not waiting or lanes + len(queue[0].turn.actions) <= BACKGROUND_LANES):
            one = queue.popleft()
            if not one.turn.part.closed:  # else its rollout was given up
                waiting.append(one)
                lanes += len(one.turn.actions)
        if not queue:
            del self._background[pool]
        if not waiting:
            return
        steps = await self._step(pool, waiting)
        if steps is not None:
            _tell(waiting, steps)
            self._metrics.rollout(lanes)

    async def _step(self, pool: Pool, waiting: list[Waiting]) -> list[LaneStep] | None:
        """What each of them gets; None if that failed, of which they were told."""
        try:
            if self._is_quick(pool, _lanes(waiting)):
                return _stepped(pool, waiting)
            return await self.in_thread(lambda: _stepped(pool, waiting))
        except Exception as error:  # as above
            _fail(waiting, error)
            return None

    def _is_quick(self, pool: Pool, lanes: int) -> bool:
        return pool.seconds(lanes) < QUICK

    async def _slice(self) -> None:
        """One slice of the oldest job."""
        job, done, quick = self._jobs[0]
        try:
            finished, result = _next(job) if quick else await self.in_thread(lambda: _next(job))
        except Exception as error:  # the caller's to tell
            self._jobs.popleft()
            done(None, error)
            return
        if finished:
            self._jobs.popleft()
            done(result, None)


def once(function: Callable[[], Any]) -> Job:
    """A job of one slice."""
    yield from ()
    return function()


def _lanes(waiting: list[Waiting]) -> int:
    return sum(len(one.turn.actions) for one in waiting)


def _stepped(pool: Pool, waiting: list[Waiting]) -> list[LaneStep]:
    """What each of them gets."""
    began = time.perf_counter()
    steps = step_together([one.turn for one in waiting])
    pool.took(_lanes(waiting), time.perf_counter() - began)
    return steps


def _tell(waiting: list[Waiting], steps: list[LaneStep]) -> None:
    for one, step in zip(waiting, steps, strict=True):
        try:
            one.done(step, None)
        except Exception as error:  # to write a reply, say: the others get theirs
            one.done(None, error)


def _fail(waiting: list[Waiting], error: Exception) -> None:
    for one in waiting:
        one.done(None, error)


def _next(job: Job) -> tuple[bool, Any]:
    try:
        next(job)
    except StopIteration as end:
        return True, end.value
    return False, None


def _into(future: asyncio.Future[Any]) -> Done:
    """Hands a result to a future, unless nobody waits for it any more."""

    def done(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    return done
