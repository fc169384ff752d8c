"""A lane's trajectory is bitwise the same in any company."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from dreamenv_client.lanes import LaneStep

from dreamenv.dream import Dream
from dreamenv.dream.together import step_together

STEPS = 500
SEED = 1000


class Follower:
    """A dream whose lanes are compared, step by step, with those of a reference."""

    def __init__(self, dream: Dream, lanes: list[int]) -> None:
        self.dream = dream
        self.lanes = lanes
        """The reference's lane that each of the dream's lanes follows."""
        self.shown: LaneStep | None = None

    def reset(self) -> None:
        self.shown = self.dream.reset(seeds=[SEED + lane for lane in self.lanes])

    def step(self, actions: np.ndarray) -> None:
        over = self.shown.terminated | self.shown.truncated
        self.shown = self.dream.step(actions[self.lanes], reset=over)

    def agrees(self, reference: LaneStep) -> bool:
        own = self.shown
        pairs = [
            (getattr(own, name), getattr(reference, name))
            for name in ("observation", "reward", "terminated", "truncated")
        ]
        pairs += [(own.info[name], reference.info[name]) for name in reference.info]
        return all(a.tobytes() == np.ascontiguousarray(b[self.lanes]).tobytes() for a, b in pairs)


@pytest.mark.parametrize("sizes", ["small", "car"])
def test_trajectories_are_the_same_in_any_batch(
    sizes: str, request: pytest.FixtureRequest, actions_of: Callable[[int, int], np.ndarray]
) -> None:
    """Batches of 1, 2, 7 and 64 follow one of 256 for 500 steps, over many episodes; at some point
    lanes are restored from a snapshot into a new dream, and some branch onto others."""
    package = request.getfixturevalue(sizes)
    knobs = dict(temperature=[0.5, 1.3], termination_temperature=1.1)
    actions = np.stack([actions_of(SEED + lane, STEPS) for lane in range(256)], axis=1)

    reference = Follower(Dream(package, 256, **knobs), list(range(256)))
    followers = [
        Follower(Dream(package, len(lanes), **knobs), lanes)
        for lanes in ([17], [254, 3], list(range(100, 107)), list(range(64)))
    ]
    for one in (reference, *followers):
        one.reset()
    episodes = 0
    for step in range(STEPS):
        if step == 137:  # into other lanes of a new dream, in another order
            snapshot = followers[2].dream.snapshot([6, 0, 3])
            restored = Follower(Dream(package, 4, **knobs), [106, 103, 100, 103])
            restored.dream.reset(seeds=[1, 2, 3, 4])
            restored.dream.restore(snapshot, [0, 2, 1])
            restored.shown = restored.dream.branch([1], [3])
            followers.append(restored)
        if step == 201:  # five lanes take the place, and the stream, of five others
            wide = followers[3]
            wide.shown = wide.dream.branch([5, 5, 6, 7, 60], [9, 10, 11, 12, 13])
            wide.lanes[9:14] = [5, 5, 6, 7, 60]
        for one in (reference, *followers):
            one.step(actions[step])
        assert [one.agrees(reference.shown) for one in followers] == [True] * len(followers), step
        episodes += int((reference.shown.terminated | reference.shown.truncated).sum())
    assert episodes > 1000, "too few episodes ended for this to say much"


def test_trajectories_are_the_same_in_any_company_of_parts(car, actions_of) -> None:
    """Batches of many lengths, as parts of 1 to 70 lanes step in changing company."""
    reference = Dream(car, 128)
    shown = reference.reset(seeds=range(128))
    table, order = Dream(car, 400), np.random.default_rng(0).permutation(400)
    firsts = [0, 1, 2, 5, 17, 58, 128]
    parts = [table.part(order[a:b]) for a, b in itertools.pairwise(firsts)]
    for part, first in zip(parts, firsts, strict=False):
        part.reset(seeds=range(first, first + part.num_lanes))
    actions = np.stack([actions_of(lane, 120) for lane in range(128)], axis=1)
    for step, company in enumerate(np.random.default_rng(1).integers(0, 3, (120, len(parts)))):
        over = shown.terminated | shown.truncated
        shown = reference.step(actions[step], reset=over)
        for group in range(3):  # at each step they fall into three groups anew
            some = [i for i in range(len(parts)) if company[i] == group]
            given = [slice(firsts[i], firsts[i + 1]) for i in some]
            turns = [
                parts[i].check(actions[step, lanes], over[lanes])
                for i, lanes in zip(some, given, strict=True)
            ]
            for found, lanes in zip(step_together(turns), given, strict=True):
                assert found.observation.tobytes() == shown.observation[lanes].tobytes()
                assert found.reward.tobytes() == shown.reward[lanes].tobytes()
                assert found.terminated.tobytes() == shown.terminated[lanes].tobytes()


def test_lane_i_seeded_s_is_a_lane_seeded_s_plus_i_alone(small, actions_of) -> None:
    together = Dream(small, 5)
    shown = together.reset(seeds=range(40, 45))
    actions = np.stack([actions_of(lane, 60) for lane in range(5)], axis=1)
    histories = [[] for _ in range(5)]
    for step in range(60):
        over = shown.terminated | shown.truncated
        shown = together.step(actions[step], reset=over)
        for lane in range(5):
            histories[lane].append((shown.observation[lane].copy(), shown.reward[lane]))
    for lane in range(5):
        alone = Dream(small, 1)
        shown = alone.reset(seeds=[40 + lane])
        for step in range(60):
            over = shown.terminated | shown.truncated
            shown = alone.step(actions[step, lane : lane + 1], reset=over)
            observation, reward = histories[lane][step]
            assert shown.observation[0].tobytes() == observation.tobytes()
            assert shown.reward[0] == reward


def test_an_episode_hides_its_own_share_of_the_memory_in_any_batch(car, actions_of) -> None:
    def masks(dream: Dream) -> np.ndarray:
        return dream.snapshot().arrays["state.mask"]

    many, one = Dream(car, 64), Dream(car, 1)
    many.reset(seeds=range(SEED, SEED + 64))
    one.reset(seeds=[SEED + 40])
    first = masks(many)
    assert masks(one)[0].tobytes() == first[40].tobytes()
    assert len({row.tobytes() for row in first}) == 64
    # 64 × 256 draws of a tenth: five standard errors either side.
    assert abs((first == 0).mean() - 0.1) < 5 * np.sqrt(0.1 * 0.9 / first.size)
    np.testing.assert_allclose(first[first > 0], 1 / 0.9, rtol=1e-6)
    one.step(actions_of(0, 1))
    np.testing.assert_array_equal(masks(one)[0], first[40])
    many.reset()
    one.reset()
    assert masks(one)[0].tobytes() == masks(many)[40].tobytes() != first[40].tobytes()


@pytest.mark.parametrize("obs", ["latent", "pixels"])
def test_other_observations_are_independent_of_the_batch_too(small, actions_of, obs) -> None:
    few, many = Dream(small, 1, obs=obs), Dream(small, 33, obs=obs)
    one, all_ = few.reset(seeds=[7 + 30]), many.reset(seeds=range(7, 40))
    assert one.observation[0].tobytes() == all_.observation[30].tobytes()
    actions = actions_of(0, 20)
    for step in range(20):
        over, all_over = one.terminated | one.truncated, all_.terminated | all_.truncated
        one = few.step(actions[step : step + 1], reset=over)
        all_ = many.step(np.tile(actions[step], (33, 1)), reset=all_over)
        assert one.observation[0].tobytes() == all_.observation[30].tobytes()


def test_different_seeds_dream_differently(small) -> None:
    dream = Dream(small, 4)
    dream.reset(seeds=[1, 2, 1, 1 + 2**32], options={"start": 0})
    shown = dream.step(np.zeros((4, 3), np.float32))
    rows = [row.tobytes() for row in shown.observation]
    assert rows[0] == rows[2]
    assert len(set(rows)) == 3


def test_unseeded_lanes_draw_seeds_of_their_own(small) -> None:
    dream = Dream(small, 8)
    dream.reset()
    seeds = dream.snapshot().arrays["seed"]
    assert (seeds >= 0).all()
    assert len(set(seeds.tolist())) == 8
