"""Any sequence of calls on a batch, against as many dreams of one lane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.dream import Dream
from dreamenv.dream import noise as noise_module
from dreamenv.dream.clock import Clock
from dreamenv.dream.draws import draw_episodes, draw_steps
from dreamenv.dream.noise import NoiseBlocks
from dreamenv.models.world_model import NoiseShape

from .conftest import ANY_KNOBS

LANES = 3
lane = st.integers(0, LANES - 1)
seed = st.integers(0, 2**63 - 1)
mask = st.lists(st.booleans(), min_size=LANES, max_size=LANES)


def calls_with(knobs: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Any call, of those knobs that all dreams have and of some more."""
    seeds = st.lists(st.none() | seed, min_size=LANES, max_size=LANES)
    more = st.fixed_dictionaries({}, optional=knobs)
    return st.one_of(
        st.tuples(st.just("step"), st.integers(1, 12), st.integers(0, 2**32)),
        st.tuples(st.just("reset"), mask, seeds),
        st.tuples(st.just("snapshot"), st.just(None), st.just(None)),
        st.tuples(st.just("restore"), st.permutations(range(LANES)), st.integers(1, LANES)),
        st.tuples(st.just("branch"), lane, st.tuples(lane, st.none() | seed)),
        st.tuples(st.just("knobs"), lane, st.builds(lambda a, b: a | b, ANY_KNOBS, more)),
    )


class Batch:
    """The dream under test and its oracle: one dream a lane, which no batch can disturb."""

    def __init__(self, package, **knobs: float) -> None:
        self.plain = dict(
            temperature=1.0, termination="sample", termination_temperature=1.0, horizon=9, **knobs
        )
        self.together = Dream(package, LANES)
        self.alone = [Dream(package, 1) for _ in range(LANES)]

    def begin(self) -> None:
        for dream in (self.together, *self.alone):
            dream.set_knobs(**self.plain)
        self.over = np.zeros(LANES, bool)
        shown = self.together.reset(seeds=range(LANES))
        self.check(shown, [d.reset(seeds=[i]) for i, d in enumerate(self.alone)])
        self.kept = self.together.snapshot(), [d.snapshot() for d in self.alone]

    def check(self, shown, alone) -> None:
        for i, own in enumerate(alone):
            if own is None:
                continue
            assert shown.observation[i].tobytes() == own.observation[0].tobytes()
            for name in ("reward", "terminated", "truncated"):
                assert getattr(shown, name)[i] == getattr(own, name)[0]
            for name, values in own.info.items():
                assert shown.info[name][i] == values[0]
        assert not (shown.terminated & shown.truncated).any()
        self.over = shown.terminated | shown.truncated

    def step(self, times: int, luck: int) -> None:
        for actions in np.random.default_rng(luck).uniform(-1, 1, (times, LANES, 3)):
            over = self.over
            shown = self.together.step(actions, reset=over)
            alone = [
                d.step(actions[i : i + 1], reset=over[i : i + 1]) for i, d in enumerate(self.alone)
            ]
            self.check(shown, alone)

    def reset(self, which: list[bool], seeds: list[int | None]) -> None:
        shown = self.together.reset(np.array(which), seeds)
        alone = [d.reset(seeds=[seeds[i]]) if which[i] else None for i, d in enumerate(self.alone)]
        self.check(shown, alone)

    def snapshot(self, *_: None) -> None:
        self.kept = self.together.snapshot(), [d.snapshot() for d in self.alone]

    def restore(self, order: list[int], count: int) -> None:
        """The first lanes of the last snapshot, into lanes in some order."""
        together, alone = self.kept
        part = type(together)(
            together.model, {name: array[:count] for name, array in together.arrays.items()}
        )
        shown = self.together.restore(part, order[:count])
        restored = [None] * LANES
        for source, target in enumerate(order[:count]):
            restored[target] = self.alone[target].restore(alone[source])
        self.check(shown, restored)

    def branch(self, source: int, onto: tuple[int, int | None]) -> None:
        target, own = onto
        shown = self.together.branch([source], [target], None if own is None else [own])
        restored = [None] * LANES
        restored[target] = self.alone[target].restore(self.alone[source].snapshot())
        if own is not None:
            restored[target] = self.alone[target].branch([0], [0], [own])
        self.check(shown, restored)

    def knobs(self, which: int, knobs: dict) -> None:
        self.together.set_knobs([which], **knobs)
        self.alone[which].set_knobs(**knobs)


@pytest.fixture(scope="module")
def batch(small) -> Batch:
    return Batch(small)


@settings(max_examples=40)
@given(st.lists(calls_with({}), max_size=12))
def test_any_sequence_of_calls_is_that_of_single_lanes(batch, sequence):
    batch.begin()
    for call, first, second in sequence:
        getattr(batch, call)(first, second)
    batch.step(3, 0)


SHAPE = NoiseShape(uniform=3, normal=5, start_uniform=2)


@settings(max_examples=25)
@given(st.data())
def test_the_noise_held_is_the_noise_of_the_clock(data):
    """Whatever becomes of the clock: steps, new episodes, seeds, jumps."""
    import torch

    lanes = data.draw(st.integers(1, 5))
    clock = Clock(lanes)
    rows = data.draw(st.sampled_from([8, 300, 2000]))
    held = NoiseBlocks(SHAPE, clock, rows, torch.device("cpu"))
    some = st.lists(st.booleans(), min_size=lanes, max_size=lanes).map(np.array)
    everyone = np.arange(lanes)
    clock.begin(everyone, everyone.astype(np.int64))
    for _ in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(["step"] * 6 + ["some"] * 6 + ["begin", "begin", "jump"])):
            case "step":
                needed = data.draw(some)
                noise, chance = held.take(needed)
                at = [torch.from_numpy(a[needed]) for a in (clock.seed, clock.episode, clock.step)]
                expected = draw_steps(SHAPE, *at, steps=1)
                assert torch.equal(noise.uniform[:lanes][needed], expected.uniform[0])
                assert torch.equal(noise.normal[:lanes][needed], expected.normal[0])
                np.testing.assert_array_equal(chance[needed], expected.termination[0])
                assert len(chance) == lanes
                clock.step += needed
            case "some":
                order = data.draw(st.permutations(range(lanes)))
                which = np.array(order[: data.draw(st.integers(1, lanes))])
                needed = data.draw(st.none() | some)
                needed = None if needed is None else needed[: len(which)]
                noise, chance = held.take_some(which, needed, len(which) + 3)
                assert len(noise.uniform) == len(noise.normal) == len(which) + 3
                mask = np.ones(len(which), bool) if needed is None else needed
                clocks = (clock.seed, clock.episode, clock.step)
                at = [torch.from_numpy(a[which][mask]) for a in clocks]
                expected = draw_steps(SHAPE, *at, steps=1)
                found = [part[: len(which)][mask] for part in (noise.uniform, noise.normal)]
                assert torch.equal(found[0], expected.uniform[0])
                assert torch.equal(found[1], expected.normal[0])
                np.testing.assert_array_equal(chance[mask], expected.termination[0])
                clock.step[which] += mask
            case "begin":
                which = np.flatnonzero(data.draw(some))
                seeds = data.draw(st.sampled_from([-1, -1, 5]))
                clock.begin(which, np.full(len(which), seeds))
                drawn = held.begin(which)
                at = [torch.from_numpy(a[which]) for a in (clock.seed, clock.episode)]
                expected = draw_episodes(SHAPE, *at)
                np.testing.assert_array_equal(drawn.start, expected.start)
                np.testing.assert_array_equal(drawn.temperature, expected.temperature)
                assert torch.equal(drawn.begin, expected.begin)
            case "jump":
                which = data.draw(st.integers(0, lanes - 1))
                clock.step[which] = data.draw(st.integers(0, 1000))
                clock.episode[which] = data.draw(st.integers(0, 3))


def test_the_noise_of_a_lane_restored_to_where_its_block_would_have_begun():
    """What is held of it was drawn from the middle on."""
    import torch

    clock, needed = Clock(1), np.ones(1, bool)
    clock.begin(np.arange(1), np.array([3]))
    held = NoiseBlocks(SHAPE, clock, 300, torch.device("cpu"))

    def take(times: int) -> None:
        for _ in range(times):
            noise, _ = held.take(needed)
            at = [torch.from_numpy(a) for a in (clock.seed, clock.episode, clock.step)]
            assert torch.equal(noise.normal[:1], draw_steps(SHAPE, *at, steps=1).normal[0])
            clock.step += 1

    take(5)
    clock.step[0] = 100
    take(held._steps - 5)
    clock.step[0] = 95
    take(held._steps)


@pytest.mark.parametrize("back", [1, 5, 64])
def test_the_noise_of_one_of_several_lanes_that_goes_back(back):
    """Into what its block held before it was drawn anew."""
    import torch

    clock, lanes = Clock(3), np.arange(3)
    clock.begin(lanes, lanes + 7)
    held = NoiseBlocks(SHAPE, clock, 8, torch.device("cpu"))
    for time in range(100):
        if time == 70:
            clock.step[1] -= back
        which = lanes[time % 2 :]
        noise, chance = held.take_some(which, None, 4)
        at = [torch.from_numpy(a[which]) for a in (clock.seed, clock.episode, clock.step)]
        expected = draw_steps(SHAPE, *at, steps=1)
        assert torch.equal(noise.normal[: len(which)], expected.normal[0])
        np.testing.assert_array_equal(chance, expected.termination[0])
        clock.step[which] += 1


def test_the_noise_of_a_lane_whose_next_episode_was_drawn_for_few_steps(monkeypatch):
    """While some of the lanes stepped; it then begins while all do."""
    import torch

    monkeypatch.setattr(noise_module, "ROW_STEPS_OF_SOME", 6)
    clock, lanes = Clock(3), np.arange(3)
    clock.begin(lanes, lanes + 7)
    held = NoiseBlocks(SHAPE, clock, 8, torch.device("cpu"))
    held.take_some(lanes, None, 4)
    for time in range(12):
        if time == 3:
            clock.begin(lanes[1:2], np.array([-1]))
        noise, chance = held.take()
        at = [torch.from_numpy(a) for a in (clock.seed, clock.episode, clock.step)]
        expected = draw_steps(SHAPE, *at, steps=1)
        assert torch.equal(noise.normal[:3], expected.normal[0])
        np.testing.assert_array_equal(chance, expected.termination[0])
        clock.step += 1
