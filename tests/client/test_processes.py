"""Lanes belong to the process that opened them: forks, pickles, worker processes, imports."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import toy
from dreamenv_client import DreamEnv, DreamVectorEnv, LaneSource
from dreamenv_client.sb3 import DreamVecEnv
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from toy import BOX, FEATURES, ToyLanes, toy_source


def run_python(code):
    """Run code in a fresh interpreter (one thread, so that it may fork); returns what it prints."""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.parametrize("face", [DreamEnv, DreamVectorEnv])
def test_nothing_opens_before_the_first_reset_and_once_only(face):
    opened = []

    def counting(num_lanes):
        opened.append(num_lanes)
        return ToyLanes(num_lanes)

    env = face(LaneSource(FEATURES, BOX, counting))
    env.action_space.sample()
    env.set_knobs(temperature=2)
    assert opened == []
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.reset()
    assert opened == [1]
    face(LaneSource(FEATURES, BOX, counting)).close()
    assert opened == [1]


@pytest.mark.parametrize("face", [DreamEnv, DreamVectorEnv, DreamVecEnv])
def test_what_opens_again_after_a_close_is_closed_by_the_next(face):
    opened = []

    def remembering(num_lanes):
        opened.append(ToyLanes(num_lanes))
        return opened[-1]

    env = face(LaneSource(FEATURES, BOX, remembering))
    env.close()
    env.reset()
    here = env.snapshot()
    for again in (env.reset, lambda: env.restore(here)):
        env.close()
        env.close()
        assert getattr(env, "closed", True)
        again()
        assert not getattr(env, "closed", False)
    env.close()
    assert len(opened) == 3
    assert all(lanes.closed for lanes in opened)


@pytest.mark.parametrize("used", [False, True])
def test_pickles_hold_no_lanes(used):
    cloudpickle.register_pickle_by_value(toy)
    try:
        for env in (DreamEnv(toy_source()), DreamVectorEnv(toy_source(), 2)):
            env.set_knobs(horizon=2)
            if used:
                env.reset(seed=0)
                env.step(env.action_space.sample())
            copy = cloudpickle.loads(cloudpickle.dumps(env))
            with pytest.raises(ResetNeeded, match="call reset first"):
                copy.step(env.action_space.sample())
            assert data_equivalence(copy.reset(seed=3), env.reset(seed=3), exact=True)
            action = env.action_space.sample()
            for _ in range(2):
                answer = copy.step(action)
                assert data_equivalence(answer, env.step(action), exact=True)
            assert np.all(answer[3])  # the knob came along
    finally:
        cloudpickle.unregister_pickle_by_value(toy)


def test_a_forked_child_opens_lanes_of_its_own():
    # ToyLanes fail when another process than the one that made them calls anything.
    printed = run_python(
        """
        import os, sys
        import numpy as np
        from dreamenv_client import DreamEnv, DreamVectorEnv
        from gymnasium.error import ResetNeeded
        from toy import toy_source

        env, envs = DreamEnv(toy_source(), "rgb_array"), DreamVectorEnv(toy_source(), 2)
        env.reset(seed=0), envs.reset(seed=0)
        here = env.snapshot()
        child = os.fork()
        if child == 0:
            mask = np.array([True, False])
            for call in (
                lambda: env.step([0, 0]),
                lambda: envs.step(np.zeros((2, 2))),
                lambda: envs.reset(options={"reset_mask": mask}),
                lambda: envs.restore(here, lanes=[1]),
                env.render, env.snapshot, env.branch,
            ):
                try:
                    call()
                except ResetNeeded as error:
                    assert "fork" in str(error) or "first reset" in str(error), error
                else:
                    raise AssertionError("inherited lanes were used")
            env.set_knobs(temperature=0)
            observation, _ = env.reset(seed=0)
            assert (observation == here.arrays["x"][0]).all()
            env.step([0, 0])
            assert env.snapshot().arrays["temperature"] == 0
            envs.close()  # closes nothing of its parent's
            print("child fine", flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        env.step([0, 0]), envs.step(np.zeros((2, 2)))  # the parent goes on
        assert env.snapshot().arrays["temperature"] == 1
        print("parent fine")
        """
    )
    assert printed.split("\n")[:2] == ["child fine", "parent fine"]


def test_no_torch_and_no_sb3_are_imported():
    printed = run_python(
        """
        import sys
        import numpy as np
        from dreamenv_client import DreamEnv, DreamVectorEnv
        from toy import toy_source

        env = DreamEnv(toy_source(), render_mode="rgb_array")
        env.reset(seed=0)
        env.step([0.5, 0.5])
        env.render()
        DreamVectorEnv(toy_source(), 2).reset(seed=0)
        print(sorted({"torch", "stable_baselines3", "dreamenv"} & set(sys.modules)))
        """
    )
    assert printed.strip() == "[]"


def test_single_envs_in_worker_processes():
    cloudpickle.register_pickle_by_value(toy)
    source = toy_source()
    try:
        workers = gym.vector.AsyncVectorEnv([lambda: DreamEnv(source)] * 2, context="spawn")
    finally:
        cloudpickle.unregister_pickle_by_value(toy)
    try:
        batch = DreamVectorEnv(toy_source(), 2)
        found, expected = workers.reset(seed=3), batch.reset(seed=3)
        assert data_equivalence(found, expected, exact=True)
        for _ in range(10):
            actions = batch.action_space.sample()
            found, expected = workers.step(actions), batch.step(actions)
            for one, two in zip(found, expected, strict=True):
                if isinstance(one, dict):
                    assert data_equivalence(one, two, exact=True)
                else:
                    np.testing.assert_array_equal(one, two)
    finally:
        workers.close()
