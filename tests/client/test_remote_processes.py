"""Remote dreams in every kind of process: forked, spawned, pickled; and without torch."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import textwrap

import cloudpickle
import numpy as np
import pytest
from dreamenv_client import RemoteDreamEnv, RemoteDreamVectorEnv
from gymnasium.error import ResetNeeded

WATCHED = "import faulthandler; faulthandler.dump_traceback_later(50, exit=True)\n"
"""So that whatever hangs says where."""


def run_python(code, *arguments):
    """Run code in a fresh interpreter; returns what it prints."""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", WATCHED + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_a_whole_episode_without_torch_and_without_the_library(far):
    printed = run_python(
        """
        import sys
        for absent in ("torch", "dreamenv", "stable_baselines3", "pydantic", "safetensors"):
            sys.modules[absent] = None  # importing it fails, as where it is not installed
        import gymnasium as gym
        import dreamenv_client
        assert not {"grpc", "google.protobuf"} & set(sys.modules)
        how = dict(server=sys.argv[1], dream="lively")
        env = gym.make("dreamenv_client:RemoteDream-v0", render_mode="rgb_array", **how)
        env.reset(seed=0)
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
        env.render()
        env.unwrapped.set_knobs(temperature=0.5)
        env.unwrapped.branch().close()
        env.close()
        envs = gym.make_vec(
            "dreamenv_client:RemoteDream-v0", num_envs=4, termination="none", **how
        )
        envs.reset(seed=0)
        envs.step(envs.action_space.sample())
        envs.rollout(envs.action_space.sample()[:, None])
        envs.close()
        print("fine")
        """,
        far.address,
    )
    assert printed == "fine\n"


def test_the_library_with_a_server_imports_neither_torch_nor_a_channel_too_soon(far):
    printed = run_python(
        """
        import sys
        import gymnasium as gym
        import dreamenv
        server = sys.argv[1]
        env = gym.make("Dream-CarRacing-v0", server=server)
        envs = gym.make_vec("Dream-CarRacing-v0", num_envs=2, server=server)
        real = dreamenv.make_real("Dream-CarRacing-v0", server=server)
        env.observation_space.sample(), env.spec.to_json(), env.unwrapped.set_knobs(horizon=3)
        assert "grpc" not in sys.modules
        for made in (env, envs, real):
            made.reset(seed=0)
            made.step(made.action_space.sample())
            made.close()
        print("torch" in sys.modules)
        """,
        far.address,
    )
    assert printed == "False\n"


def test_a_process_ends_after_its_streams(far):
    """grpc's threads have told each stream's end before the interpreter stops them anywhere."""
    printed = run_python(
        """
        import atexit, sys
        def last():
            from dreamenv_client import channel
            print(len(channel._unfinished))
        atexit.register(last)  # before the client's own, so it runs after them
        import dreamenv_client
        from dreamenv_client import channel
        envs = [dreamenv_client.RemoteDreamEnv("lively", server=sys.argv[1]) for _ in range(3)]
        for env in envs:
            env.reset(seed=0)
        print(len(channel._unfinished))
        envs[0].close()
        """,
        far.address,
    )
    assert printed == "3\n0\n"


def test_the_end_of_streams_is_not_waited_for_for_ever():
    from dreamenv_client import channel

    class Silent:
        def add_callback(self, callback):
            return True

    channel._watched(Silent())
    try:
        assert not channel.await_streams(0.05)
    finally:
        channel._unfinished.clear()


@pytest.mark.parametrize("used", [False, True])
def test_pickles_and_deep_copies_open_sessions_of_their_own(far, used):
    env = RemoteDreamEnv("lively", server=far.address, horizon=9)
    if used:
        env.reset(seed=1)
    expected, _ = env.reset(seed=4)
    copies = [copy.deepcopy(env)]
    copies += [pickle.loads(dump(env)) for dump in (pickle.dumps, cloudpickle.dumps)]  # noqa: S301
    for twin in copies:
        with pytest.raises(ResetNeeded):
            twin.step(twin.action_space.sample())
        np.testing.assert_array_equal(twin.reset(seed=4)[0], expected)
    action = env.action_space.sample()
    answer = env.step(action)[0]
    for twin in copies:
        np.testing.assert_array_equal(twin.step(action)[0], answer)
        twin.close()
    with pytest.raises(TypeError, match="do not pickle"):
        pickle.dumps(env._lanes.current())
    env.close()


def test_forks_with_a_live_stream(far):
    """The child opens sessions of its own; the parent goes on where it was, every time."""
    printed = run_python(
        """
        import os, sys, threading
        import numpy as np
        from dreamenv_client import RemoteDreamEnv, RemoteDreamVectorEnv
        from gymnasium.error import ResetNeeded

        server = sys.argv[1]
        env = RemoteDreamEnv("lively", server=server, termination="none", horizon=1000)
        oracle = RemoteDreamEnv("lively", server=server, termination="none", horizon=1000)
        spare = RemoteDreamVectorEnv("lively", 2, server=server)
        first, _ = env.reset(seed=3)
        oracle.reset(seed=3)
        spare.reset(seed=0)
        for number in range(20):
            child = os.fork()
            if child == 0:
                try:
                    env.step(env.action_space.sample())
                except ResetNeeded:
                    pass
                else:
                    raise AssertionError("an inherited session was used")
                try:
                    env._lanes._lanes.step(env.action_space.sample()[None])
                except RuntimeError as error:
                    assert "inherited" in str(error), error
                else:
                    raise AssertionError("an inherited session was used")
                spare.close()  # of the parent: nothing happens to it
                assert (env.reset(seed=3)[0] == first).all()
                env.step(env.action_space.sample())
                env.close()
                os._exit(0)
            action = env.action_space.sample()
            assert (env.step(action)[0] == oracle.step(action)[0]).all(), number
            _, status = os.waitpid(child, 0)
            assert status == 0, (number, status)
        spare.step(spare.action_space.sample())
        for made in (env, oracle, spare):
            made.close()
        print("fine")
        """,
        far.address,
    )
    assert printed == "fine\n"


def test_a_fork_while_another_thread_steps(far):
    printed = run_python(
        """
        import os, sys, threading
        from dreamenv_client import RemoteDreamEnv

        server = sys.argv[1]
        made = [
            RemoteDreamEnv("lively", server=server, termination="none", horizon=10**6)
            for _ in range(2)
        ]
        env, oracle = made
        env.reset(seed=3), oracle.reset(seed=3)
        over, seen, failed = threading.Event(), [], []

        def steps():
            try:
                env.action_space.seed(0)
                while not over.is_set():
                    seen.append(env.step(env.action_space.sample()))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=steps)
        thread.start()
        for _ in range(10):
            while len(seen) < 50 and not failed:
                over.wait(0.001)
            child = os.fork()
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        over.set()
        thread.join()
        assert not failed, failed
        oracle.action_space.seed(0)
        for answer in seen:
            expected = oracle.step(oracle.action_space.sample())
            assert (answer[0] == expected[0]).all() and answer[1:4] == expected[1:4]
        for each in made:
            each.close()
        print("fine")
        """,
        far.address,
    )
    assert printed == "fine\n"


WORKERS = """
    import sys
    import gymnasium as gym
    import numpy as np

    def make():
        import dreamenv_client
        return gym.make("dreamenv_client:RemoteDream-v0", server=sys.argv[1], dream="lively")

    if __name__ == "__main__":
        context = sys.argv[2]
        batch = gym.make_vec(
            "dreamenv_client:RemoteDream-v0", num_envs=2, server=sys.argv[1], dream="lively"
        )
        batch.reset(seed=3)  # a live stream in the parent
        batch.action_space.seed(0)
        actions = [batch.action_space.sample() for _ in range(40)]
        if sys.argv[3] == "gymnasium":
            workers = gym.vector.AsyncVectorEnv([make] * 2, context=context)
            answers = [batch.reset(seed=3)[0]], [workers.reset(seed=3)[0]]
            for each in actions:
                for envs, answer in zip((batch, workers), answers):
                    answer.extend(envs.step(each)[:4])
        else:
            from dreamenv_client.remote_sb3 import RemoteDreamVecEnv
            from stable_baselines3.common.vec_env import SubprocVecEnv
            batch.close()
            batch = RemoteDreamVecEnv("lively", 2, server=sys.argv[1])
            workers = SubprocVecEnv([make] * 2, start_method=context)
            answers = [], []
            for envs, answer in zip((batch, workers), answers):
                envs.seed(3)
                answer.append(envs.reset())
                for each in actions:
                    answer.extend(envs.step(each)[:3])
        for mine, theirs in zip(*answers, strict=True):
            np.testing.assert_array_equal(mine, np.asarray(theirs, np.asarray(mine).dtype))
        workers.close()
        batch.close()
        print("fine")
"""


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("of", ["gymnasium", "sb3"])
def test_worker_processes(far, tmp_path, of, context):
    script = tmp_path / "workers.py"
    script.write_text(textwrap.dedent(WORKERS))
    printed = subprocess.run(
        [sys.executable, script, far.address, context, of],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == "fine\n"


def test_what_is_not_closed_is_closed_at_the_end(far):
    """Of a process, and of an env that is dropped: the server has its lanes back at once."""
    code = """
        import sys
        from dreamenv_client import RemoteDreamVectorEnv
        for _ in range(3):
            envs = RemoteDreamVectorEnv("discrete", 100, server=sys.argv[1])
            envs.reset(seed=0)
        """  # of 128 lanes
    for _ in range(2):
        run_python(code, far.address)
    envs = RemoteDreamVectorEnv("discrete", 100, server=far.address)
    envs.reset(seed=0)
    envs.close()
