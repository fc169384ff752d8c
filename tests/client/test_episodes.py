"""Whole episodes: the same in every face, with nothing lost where they end."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client import DreamVectorEnv
from dreamenv_client.sb3 import DreamVecEnv
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import PlainToy, toy_source

LANES = 3
some = settings(derandomize=True, deadline=None, max_examples=20)


def act(observation):
    """A policy: what follows depends on every observation, the last ones included."""
    return np.clip(1.5 * observation[..., :2] - 0.3, -1, 1)


class Diary:
    """The episodes of each lane: first observation, then (observation, reward, how it ended)."""

    def __init__(self, observations):
        self.done = [[] for _ in observations]
        self.open = [[row.tobytes()] for row in observations]

    def note(self, lane, observation, reward, terminated, truncated):
        entry = (observation.tobytes(), float(reward), bool(terminated), bool(truncated))
        self.open[lane].append(entry)
        if terminated or truncated:
            self.done[lane].append(self.open[lane])
            self.open[lane] = None

    def begin(self, lane, observation):
        self.open[lane] = [observation.tobytes()]


def plain(seed, shortest, steps):
    """What each lane dreams, told by an env that knows neither lanes nor autoreset."""
    envs = [PlainToy(shortest) for _ in range(LANES)]
    observations = [env.reset(seed=seed + lane)[0] for lane, env in enumerate(envs)]
    diary = Diary(observations)
    for lane, (env, observation) in enumerate(zip(envs, observations, strict=True)):
        for _ in range(steps):
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            diary.note(lane, observation, reward, terminated, truncated)
            if terminated or truncated:
                observation, _ = env.reset()
                diary.begin(lane, observation)
    return diary.done


def vector(seed, shortest, steps, mode):
    envs = DreamVectorEnv(toy_source(shortest=shortest), LANES, autoreset_mode=mode)
    observations, _ = envs.reset(seed=seed)
    diary = Diary(observations)
    over = np.zeros(LANES, bool)
    for _ in range(steps):
        began = over & (mode is AutoresetMode.NEXT_STEP)
        observations, rewards, terminated, truncated, infos = envs.step(act(observations))
        over = terminated | truncated
        for lane in range(LANES):
            if began[lane]:
                assert rewards[lane] == 0
                assert not over[lane]
                diary.begin(lane, observations[lane])
                continue
            final = over[lane] and mode is AutoresetMode.SAME_STEP
            shown = infos["final_obs"][lane] if final else observations[lane]
            diary.note(lane, shown, rewards[lane], terminated[lane], truncated[lane])
            if final:
                diary.begin(lane, observations[lane])
        if mode is AutoresetMode.DISABLED and over.any():
            observations, _ = envs.reset(options={"reset_mask": over})
            for lane in np.flatnonzero(over):
                diary.begin(lane, observations[lane])
    return diary.done


def sb3(seed, shortest, steps):
    envs = DreamVecEnv(toy_source(shortest=shortest), LANES)
    envs.seed(seed)
    observations = envs.reset()
    diary = Diary(observations)
    for _ in range(steps):
        observations, rewards, dones, infos = envs.step(act(observations))
        for lane, info in enumerate(infos):
            truncated = info["TimeLimit.truncated"]
            shown = info["terminal_observation"] if dones[lane] else observations[lane]
            diary.note(lane, shown, rewards[lane], dones[lane] and not truncated, truncated)
            if dones[lane]:
                diary.begin(lane, observations[lane])
    return diary.done


@some
@given(seed=st.integers(0, 999), shortest=st.integers(1, 4), steps=st.integers(10, 40))
@pytest.mark.parametrize("face", [*AutoresetMode, "sb3"], ids=str)
def test_every_face_tells_the_same_episodes(face, seed, shortest, steps):
    expected = plain(seed, shortest, steps)
    told = sb3(seed, shortest, steps) if face == "sb3" else vector(seed, shortest, steps, face)
    for lane in range(LANES):
        # NEXT_STEP spends a step on each reset, so that it gets less far.
        assert told[lane] == expected[lane][: len(told[lane])]
        assert len(told[lane]) >= len(expected[lane]) // 2
        if face is not AutoresetMode.NEXT_STEP:
            assert len(told[lane]) == len(expected[lane])


@some
@given(
    mode=st.sampled_from([AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]),
    seed=st.integers(0, 999),
    before=st.integers(0, 15),
    between=st.integers(0, 15),
    shortest=st.integers(1, 3),
    fresh=st.booleans(),
)
def test_a_restored_batch_has_the_same_future(mode, seed, before, between, shortest, fresh):
    """At any point: in mid-episode, at its end, with resets pending."""

    def play(envs, steps):
        answers = []
        for step in range(steps):
            actions = np.random.default_rng(step).uniform(-1, 1, (LANES, 2)).astype(np.float32)
            answers.append(envs.step(actions))
        return answers

    envs = DreamVectorEnv(toy_source(shortest=shortest), LANES, autoreset_mode=mode)
    envs.reset(seed=seed)
    play(envs, before)
    here = envs.snapshot()
    future = play(envs, 12)
    play(envs, between)
    if fresh:
        envs = DreamVectorEnv(toy_source(shortest=shortest), LANES, autoreset_mode=mode)
    envs.restore(here)
    assert data_equivalence(play(envs, 12), future, exact=True)


@some
@given(seed=st.integers(0, 999), steps=st.integers(1, 12))
def test_lanes_can_be_restored_in_any_order(seed, steps):
    """Lanes that wait for a reset take that along to whichever lane they are put in."""
    envs = DreamVectorEnv(toy_source(shortest=1), LANES)
    envs.reset(seed=seed)
    for _ in range(steps):
        envs.step(np.zeros((LANES, 2)))
    other = DreamVectorEnv(toy_source(shortest=1), LANES)
    other.reset(seed=seed + 50)
    other.restore(envs.snapshot([2, 0]), lanes=[0, 1])
    for _ in range(8):
        one, two = envs.step(np.zeros((LANES, 2))), other.step(np.zeros((LANES, 2)))
        for mine, theirs in zip(one[:4], two[:4], strict=True):
            np.testing.assert_array_equal(mine[[2, 0]], theirs[[0, 1]])
