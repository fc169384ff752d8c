"""Any sequence of calls on parts of one dream, against a dream of its own for each part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from dreamenv_client.lanes import LaneSnapshot, LaneStep
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.dream import Dream, noise
from dreamenv.dream.part import Part
from dreamenv.dream.together import step_together

from .conftest import ANY_KNOBS
from .random_package import SMALL, random_package

LANES = 9
PLAIN = dict(temperature=[0.6, 1.2], termination_temperature=1.1, horizon=100)
luck = st.integers(0, 2**32 - 1)
calls = st.one_of(
    st.tuples(st.just("together"), luck, st.integers(1, 9)),
    st.tuples(st.just("together"), luck, st.just(70)),
    st.tuples(st.just("whole"), luck, st.integers(1, 3)),
    st.tuples(st.just("reset"), luck, st.none()),
    st.tuples(st.just("keep"), luck, st.none()),
    st.tuples(st.just("restore"), luck, st.none()),
    st.tuples(st.just("branch"), luck, st.none()),
    st.tuples(st.just("copy"), luck, st.none()),
    st.tuples(st.just("hand_over"), luck, st.none()),
    st.tuples(
        st.just("knobs"),
        luck,
        ANY_KNOBS,
    ),
)


@pytest.fixture(scope="module")
def discrete():
    return random_package(SMALL, discrete=True)


def same(found: LaneStep, expected: LaneStep) -> None:
    for name in ("observation", "reward", "terminated", "truncated"):
        alike(getattr(found, name), getattr(expected, name))
    assert list(found.info) == list(expected.info)
    for name, values in found.info.items():
        alike(values, expected.info[name])


def alike(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


def rows_of(step: LaneStep, lanes: np.ndarray) -> LaneStep:
    return LaneStep(
        step.observation[lanes],
        step.reward[lanes],
        step.terminated[lanes],
        step.truncated[lanes],
        {name: values[lanes] for name, values in step.info.items()},
    )


@dataclass
class Owner:
    """A part, and the dream that its owner might have had instead."""

    part: Part
    alone: Dream
    kept: tuple[LaneSnapshot, LaneSnapshot] | None = None
    waits: np.ndarray = field(init=False)
    """Lanes that must be reset before they are stepped."""
    unbegun: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.waits, self.unbegun = np.ones((2, self.part.num_lanes), bool)

    def agree(self, found: LaneStep, expected: LaneStep, begun: Any = False) -> None:
        same(found, expected)
        self.unbegun = self.unbegun & ~np.asarray(begun)
        self.waits = found.terminated | found.truncated | self.unbegun


class Shared:
    """A dream, all of it in parts."""

    def __init__(self, package, obs: str, rng: np.random.Generator) -> None:
        self.package, self.obs = package, obs
        self.dream = Dream(package, LANES, obs=obs, **PLAIN)
        self.owners: list[Owner] = []
        self.split(np.arange(LANES), rng)

    def split(self, lanes: np.ndarray, rng: np.random.Generator) -> None:
        lanes = rng.permutation(lanes)
        while len(lanes):
            some, lanes = np.split(lanes, [rng.integers(1, 5)])
            starts = str(rng.choice(["first", "any"]))
            alone = Dream(self.package, len(some), obs=self.obs, starts=starts, **PLAIN)
            self.owners.append(Owner(self.dream.part(some, starts=starts), alone))

    def any(self, rng: np.random.Generator) -> Owner:
        return self.owners[rng.integers(len(self.owners))]

    def together(self, rng: np.random.Generator, times: int) -> None:
        for _ in range(times):
            some = [owner for owner in self.owners if rng.random() < 0.6]
            rng.shuffle(some)
            given = [self.drawn(owner, rng) for owner in some]
            turns = [owner.part.check(*step) for owner, step in zip(some, given, strict=True)]
            steps = step_together(turns)
            for owner, step, found in zip(some, given, steps, strict=True):
                owner.agree(found, owner.alone.step(*step), step[1])

    def whole(self, rng: np.random.Generator, times: int) -> None:
        """The dream itself steps all its lanes."""
        lanes = np.concatenate([owner.part.lanes for owner in self.owners])
        order = np.argsort(lanes)
        for _ in range(times):
            given = [self.drawn(owner, rng)[:3] for owner in self.owners]
            actions, reset = (np.concatenate([step[i] for step in given])[order] for i in range(2))
            seeds = [seed for step in given for seed in step[2]]
            shown = self.dream.step(actions, reset, [seeds[i] for i in order])
            for owner, step in zip(self.owners, given, strict=True):
                found = rows_of(shown, owner.part.lanes)
                owner.agree(found, owner.alone.step(*step), step[1])

    def drawn(self, owner: Owner, rng: np.random.Generator) -> tuple[Any, ...]:
        """Actions, reset, seeds and options."""
        count = owner.part.num_lanes
        if self.dream.action_space.shape:
            actions = rng.uniform(-1, 1, (count, 3)).astype(np.float32)
        else:
            actions = rng.integers(0, 3, count)
        reset = owner.waits | (rng.random(count) < 0.03)
        options = {"start": rng.integers(0, 40, count)} if rng.random() < 0.1 else None
        return actions, reset, self.seeds(owner, rng), options

    def seeds(self, owner: Owner, rng: np.random.Generator) -> list[int | None]:
        """A lane that has none is given one; others, now and then."""
        return [
            int(rng.integers(2**63)) if new or rng.random() < 0.3 else None for new in owner.unbegun
        ]

    def reset(self, rng: np.random.Generator, _: None) -> None:
        owner = self.any(rng)
        mask, seeds = rng.random(owner.part.num_lanes) < 0.5, self.seeds(owner, rng)
        real = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
        taken = self.drawn(owner, rng)[0][:1]
        options = {"observations": real, "actions": taken} if rng.random() < 0.3 else None
        found = owner.part.reset(mask, seeds, options)
        owner.agree(found, owner.alone.reset(mask, seeds, options), mask)

    def keep(self, rng: np.random.Generator, _: None) -> None:
        owner = self.any(rng)
        owner.kept = owner.part.snapshot(), owner.alone.snapshot()

    def restore(self, rng: np.random.Generator, _: None) -> None:
        owner = self.any(rng)
        if owner.kept is None:
            return
        order = rng.permutation(owner.part.num_lanes).tolist()
        found, expected = (
            one.restore(kept, order)
            for one, kept in zip((owner.part, owner.alone), owner.kept, strict=True)
        )
        owner.unbegun = owner.part.snapshot().arrays["seed"] < 0
        owner.agree(found, expected)

    def branch(self, rng: np.random.Generator, _: None) -> None:
        owner = self.any(rng)
        begun = np.flatnonzero(~owner.unbegun)
        if not len(begun):
            return
        target = rng.permutation(owner.part.num_lanes)[: rng.integers(1, 4)].tolist()
        source = rng.choice(begun, len(target)).tolist()
        seeds = rng.integers(0, 2**63, len(target)).tolist() if rng.random() < 0.5 else None
        found = owner.part.branch(source, target, seeds)
        owner.unbegun[target] = False
        owner.agree(found, owner.alone.branch(source, target, seeds))

    def copy(self, rng: np.random.Generator, _: None) -> None:
        owner, source = self.any(rng), self.any(rng)
        begun = np.flatnonzero(~source.unbegun)
        if owner is source or not len(begun):
            return
        lanes = rng.choice(begun, owner.part.num_lanes).tolist()
        seeds = rng.integers(0, 2**63, len(lanes)).tolist() if rng.random() < 0.5 else None
        found = owner.part.copy(source.part, lanes, seeds)
        whole = source.alone.snapshot()
        arrays = {name: array[lanes] for name, array in whole.arrays.items()}
        expected = owner.alone.restore(LaneSnapshot(whole.model, arrays))
        if seeds is not None:
            every = range(len(lanes))
            expected = owner.alone.branch(every, every, seeds)
        owner.agree(found, expected, True)

    def hand_over(self, rng: np.random.Generator, _: None) -> None:
        """Some owners leave; their lanes go to others, in another order."""
        leaving = [owner for owner in self.owners if rng.random() < 0.4]
        for owner in leaving:
            owner.part.close()
            self.owners.remove(owner)
        self.split(np.concatenate([[], *(o.part.lanes for o in leaving)]).astype(int), rng)

    def knobs(self, rng: np.random.Generator, knobs: dict[str, Any]) -> None:
        owner = self.any(rng)
        lanes = rng.permutation(owner.part.num_lanes)[:2].tolist()
        owner.part.set_knobs(lanes, **knobs)
        owner.alone.set_knobs(lanes, **knobs)

    def check(self) -> None:
        """All that is kept of every lane, and what they would be seen to do."""
        self.together(np.random.default_rng(0), 3)
        for owner in self.owners:
            found, expected = owner.part.snapshot(), owner.alone.snapshot()
            assert list(found.arrays) == list(expected.arrays)
            for name, array in found.arrays.items():
                alike(array, expected.arrays[name])
            alike(owner.part.render(), owner.alone.render())


@pytest.mark.parametrize(
    ("package", "obs"),
    [("small", "features"), ("small", "latent"), ("small", "pixels"), ("discrete", "features")],
)
@settings(max_examples=25)
@given(first=luck, sequence=st.lists(calls, max_size=14))
def test_parts_dream_what_dreams_of_their_own_would(package, obs, request, first, sequence):
    with pytest.MonkeyPatch.context() as patch:
        if first % 2:  # so that random numbers run out all the time
            patch.setattr(noise, "LONGEST_BLOCK", 5)
            patch.setattr(noise, "COMPANY", 3)
            patch.setattr(noise, "ROW_STEPS_OF_SOME", 12)
        shared = Shared(request.getfixturevalue(package), obs, np.random.default_rng(first))
        for name, seed, what in sequence:
            getattr(shared, name)(np.random.default_rng(seed), what)
        shared.check()
