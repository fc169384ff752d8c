"""The device's worker: who is stepped together, who waits, and whom a fault reaches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from dreamenv_server.pool import NoLanes, Pool
from dreamenv_server.worker import BACKGROUND_LANES, Worker, once

from dreamenv.dream import Dream

LANES = 600


@dataclass
class Record:
    """Stands for the metrics: what was run, in order."""

    run: list[tuple[str, int]] = field(default_factory=list)

    def batch(self, lanes: int, seconds: float, held: float) -> None:
        self.run.append(("batch", lanes))

    def rollout(self, lane_steps: int) -> None:
        self.run.append(("rollout", lane_steps))


@pytest.fixture(scope="module")
def package(make_package):
    return make_package(starts=12)


@pytest.fixture
def pool(package):
    dream = Dream(package, LANES, termination="none", horizon=10**6)
    yield Pool("tiny", "features", dream)
    dream.close()


def begun(pool: Pool, lanes: int, seed: int):
    part = pool.take(lanes)
    part.reset(seeds=list(range(seed, seed + lanes)))
    return part


def actions(lanes: int, value: float = 0.5) -> np.ndarray:
    return np.full((lanes, 3), value, np.float32)


def with_worker(work):
    """Runs ``work(worker, record)`` while a worker works."""

    async def main():
        record = Record()
        worker = Worker(record, threads=1)
        worker.start()
        try:
            async with asyncio.timeout(60):
                return await work(worker, record)
        finally:
            await worker.stop()

    return asyncio.run(main())


def step(worker: Worker, pool: Pool, part, value: float = 0.5) -> asyncio.Future:
    future = asyncio.get_running_loop().create_future()

    def done(result, error):
        future.set_result(result) if error is None else future.set_exception(error)

    worker.turn(pool, part.check(actions(part.num_lanes, value)), done)
    return future


def test_whoever_waits_is_stepped_as_one_batch_bitwise_as_alone(package, pool):
    parts = [begun(pool, lanes, seed) for lanes, seed in ((1, 5), (3, 40), (2, 7))]

    async def work(worker, record):
        futures = [step(worker, pool, part, i / 4) for i, part in enumerate(parts)]
        steps = await asyncio.gather(*futures)
        assert record.run == [("batch", 6)]
        return steps

    for i, (part, shown) in enumerate(zip(parts, with_worker(work), strict=True)):
        alone = Dream(package, part.num_lanes, termination="none")
        alone.reset(seeds=list(range((5, 40, 7)[i], (5, 40, 7)[i] + part.num_lanes)))
        expected = alone.step(actions(part.num_lanes, i / 4))
        assert (shown.observation == expected.observation).all()
        assert (shown.reward == expected.reward).all()


def test_a_long_job_lets_steps_through_between_its_slices(pool):
    part = begun(pool, 1, 0)

    async def work(worker, record):
        slices = []
        enough = asyncio.Event()
        loop = asyncio.get_running_loop()

        def job():
            while not stop:
                slices.append(len(record.run))
                if len(slices) == 3:
                    loop.call_soon_threadsafe(enough.set)
                yield
            return "done"

        stop: list[bool] = []
        result = loop.create_future()
        worker.job(job(), lambda value, _: result.set_result(value))
        await enough.wait()
        for _ in range(4):
            await step(worker, pool, part)
        assert record.run == [("batch", 1)] * 4
        assert not result.done()
        stop.append(True)
        assert await result == "done"

    with_worker(work)


def test_rollouts_give_way_to_steps(pool):
    part, rollouts = begun(pool, 1, 0), begun(pool, BACKGROUND_LANES, 1)

    async def work(worker, record):
        ends = asyncio.Event()

        async def roll_out():
            while not ends.is_set():
                await worker.background(pool, rollouts.check(actions(rollouts.num_lanes)))

        rolling = asyncio.create_task(roll_out())
        for _ in range(5):
            before = len(record.run)
            await step(worker, pool, part)
            waited = record.run[before:].index(("batch", 1))
            assert waited <= 1  # one slice of the rollout was under way at most
        ends.set()
        await rolling

    with_worker(work)


def test_rollouts_are_stepped_a_slice_at_a_time(pool):
    parts = [begun(pool, 100, i * 100) for i in range(4)]

    async def work(worker, record):
        turns = [part.check(actions(100)) for part in parts]
        await asyncio.gather(*(worker.background(pool, turn) for turn in turns))
        assert record.run == [("rollout", 200), ("rollout", 200)]

    with_worker(work)


def test_a_rollout_that_was_given_up_harms_no_other(pool):
    parts = [begun(pool, 10, i) for i in range(3)]

    async def work(worker, record):
        first, given_up, last = (worker.background(pool, part.check(actions(10))) for part in parts)
        parts[1].close()
        await asyncio.gather(first, last)
        assert record.run == [("rollout", 20)]
        assert not given_up.done()

    with_worker(work)


def test_a_fault_in_a_batch_is_told_to_each_and_the_worker_goes_on(pool):
    bad, good, later = begun(pool, 1, 0), begun(pool, 1, 1), begun(pool, 1, 2)

    async def work(worker, record):
        futures = [step(worker, pool, part) for part in (bad, good)]
        bad.close()  # after its step was checked
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert all(isinstance(result, RuntimeError) for result in results)
        assert (await step(worker, pool, later)).observation.shape[0] == 1
        assert (await step(worker, pool, good)).observation.shape[0] == 1  # it had not moved
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 // 0)
        assert await worker.run(lambda: "on") == "on"

    with_worker(work)


def test_jobs_are_done_in_order(pool):
    async def work(worker, record):
        order: list[int] = []
        ends = asyncio.Event()
        for i in range(6):
            worker.job(once(lambda i=i: order.append(i)), lambda *_: None, quick=i % 2 == 0)
        worker.job(once(lambda: None), lambda *_: ends.set(), quick=True)
        await ends.wait()
        assert order == list(range(6))

    with_worker(work)


def test_a_session_is_due_for_twice_as_long_as_sessions_take_to_come_again(pool):
    one, other = pool.take(1), pool.take(1)
    assert not pool.any_due(now=0.0)
    for now in (i / 100 for i in range(100)):  # both come again after a millisecond
        pool.answered([one, other], now)
        assert pool.any_due(now) or not now  # at first nothing is known
        pool.came(one, now + 0.001)
        pool.came(other, now + 0.001)
        assert not pool.any_due(now + 0.001)  # all are here: nobody to wait for
    pool.answered([one, other], 2.0)
    pool.came(one, 2.0)
    assert pool.any_due(2.0009)
    assert not pool.any_due(2.01)  # the other is learning, or gone
    pool.forget(other)
    pool.answered([one], 3.0)
    pool.came(one, 3.0)
    assert not pool.any_due(3.0)  # a lone session never waits


def test_lanes_are_handed_out_and_taken_back(pool):
    first = pool.take(LANES - 10)
    with pytest.raises(NoLanes, match="at most the 10 that are free of 600"):
        pool.take(11)
    numbers = first.lanes.tolist()
    first.close()
    assert pool.free == 10  # not before they are given back
    pool.give_back(numbers)
    assert pool.take(LANES).num_lanes == LANES
