from __future__ import annotations

import gymnasium as gym
import numpy as np
from dreamenv_client.lanes import LaneStep

from dreamenv.audit.episodes import AuditConfig, play_dream
from dreamenv.audit.play import play, random_act
from dreamenv.data.policies import RandomPolicy


class Countdown:
    """Lane i lives i + 2 steps, of which the even lanes' end by termination; a step pays its action
    plus the lane's age."""

    def __init__(self, num_lanes: int) -> None:
        self.num_lanes = num_lanes
        self.age = np.full(num_lanes, -1)
        self.over = np.ones(num_lanes, bool)
        self.seeds: list[int] = []

    def reset(self, mask=None, seeds=None, options=None):
        self.seeds = list(seeds)
        self.age[:], self.over[:] = 0, False
        return self._seen(np.zeros(self.num_lanes))

    def step(self, actions, reset=None, seeds=None, options=None):
        assert not (self.over & ~reset).any(), "stepped a lane whose episode is over"
        assert not (reset & ~self.over).any(), "reset a lane whose episode goes on"
        self.age = np.where(reset, 0, self.age + 1)
        self.over = ~reset & (self.age == np.arange(self.num_lanes) + 2)
        return self._seen(np.where(reset, 0.0, actions + self.age))

    def _seen(self, reward):
        even = np.arange(self.num_lanes) % 2 == 0
        return LaneStep(
            observation=self.age[:, None].astype(np.float32),
            reward=reward.astype(np.float32),
            terminated=self.over & even,
            truncated=self.over & ~even,
        )


def test_each_lane_plays_one_whole_episode_its_last_reward_included():
    lanes = Countdown(5)
    found = play(lanes, lambda seen: 10.0 * seen[:, 0], first_seed=70, stage="dream")
    assert lanes.seeds == [70, 71, 72, 73, 74]
    for lane, episode in enumerate(found):
        # Action 10 · age before the step, plus the age after it.
        expected = [10.0 * t + t + 1 for t in range(lane + 2)]
        assert episode.rewards.tolist() == expected
        assert episode.total == sum(expected)
        assert episode.terminated == (lane % 2 == 0)


def test_random_actions_are_those_that_real_episodes_are_collected_with():
    space = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
    act = random_act(space, lanes=4, hold=5, seed=8)
    played = np.stack([act(np.zeros((4, 1))) for _ in range(50)])
    for lane, stream in enumerate(np.random.SeedSequence(8).spawn(4)):
        alone = RandomPolicy(space, 5)
        alone.begin(np.zeros(0, np.uint8), np.random.default_rng(stream))
        np.testing.assert_array_equal(played[:, lane], [alone.act() for _ in range(50)])


def test_some_moments_of_what_was_dreamt_are_kept():
    found = play(Countdown(9), lambda seen: seen[:, 0], first_seed=0, stage="dream", latent=1)
    assert [None if p.latents is None else p.latents.tolist() for p in found] == [
        *[None] * 3,
        *[[[5.0]]] * 5,
        [[5.0], [10.0]],
    ]


def test_a_packages_own_penalty_is_for_learners(make_unsure_package):
    """Audits hold what the model says is paid against real rewards, unless a penalty is asked."""
    plain, charging = (
        make_unsure_package(ending_logit=-1.0, defaults=defaults)
        for defaults in ({}, {"trust_penalty": 2.0})
    )

    def totals(package, **knobs: float) -> list[float]:
        settings = AuditConfig(dream_episodes=5, knobs=knobs)
        return [played.total for played in play_dream(package, None, settings)]

    assert totals(charging) == totals(plain)
    charged = totals(plain, trust_penalty=2.0)
    assert charged == totals(charging, trust_penalty=2.0)
    assert all(less < whole for less, whole in zip(charged, totals(plain), strict=True))
