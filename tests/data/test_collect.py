"""Collecting: what is recorded is what the env does, whoever works and however often killed."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import frames_env
import gymnasium as gym
import numpy as np
import pytest
from frames_env import frames_spec

from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.manifest import read_manifest
from dreamenv.data.rollouts import Rollouts
from dreamenv.errors import DataError
from dreamenv.preprocess import build_env

SCRIPT = frames_env.__file__


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a collection but its lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("kwargs", [{}, {"discrete": True}, {"end": 0.0}])
def test_replaying_the_actions_gives_the_episode(tmp_path, kwargs):
    """Oracle: the env itself, stepped frame by frame with the recorded seed and actions."""
    spec = frames_spec(**kwargs)
    rollouts = collect(CollectConfig(spec, tmp_path / "data", episodes=5, seed=1))
    for episode in rollouts.episodes:
        env = gym.make("TestFrames-v0", disable_env_checker=True, **kwargs)
        low, high = (
            (0, 0) if "discrete" in kwargs else (env.action_space.low, env.action_space.high)
        )
        frame, _ = env.reset(seed=episode.seed)
        assert np.array_equal(episode.frames[0], frame)
        used = 0
        for t, action in enumerate(episode.actions):
            real = action if "discrete" in kwargs else low + (action + 1) / 2 * (high - low)
            total = 0.0
            for _ in range(4):
                frame, reward, terminated, truncated, _ = env.step(real)
                total, used = total + reward, used + 1
                if terminated or truncated:
                    break
            assert np.array_equal(episode.frames[t + 1], frame)
            assert episode.rewards[t] == total
            assert (terminated or truncated) == (t == len(episode) - 1)
        assert (episode.terminated, episode.truncated) == (terminated, truncated)
        assert episode.real_steps == used
    endings = {e.terminated for e in rollouts.episodes}
    assert endings == ({False} if "end" in kwargs else {True}) | (endings & {True, False})
    assert all(e.real_steps == 61 for e in rollouts.episodes if not e.terminated)


def test_an_episode_follows_from_seed_and_number_alone(tmp_path):
    config = CollectConfig(frames_spec(), tmp_path / "a", episodes=5, seed=1)
    split = dataclasses.replace(config, out=tmp_path / "b", episodes_per_shard=2, episodes=4)
    other = dataclasses.replace(config, out=tmp_path / "c", seed=2)
    a, b, c = (collect(each).episodes for each in (config, split, other))
    for whole, part in zip(a, b, strict=False):
        assert whole.seed == part.seed
        assert np.array_equal(whole.frames, part.frames)
        assert np.array_equal(whole.actions, part.actions)
    assert len({e.seed for e in a + c}) == 10


def run(out: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, str(out), *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "data"
    process = run(out)
    process.communicate()
    assert process.returncode == 0
    return contents(out)


def test_workers_make_no_difference(tmp_path, uninterrupted):
    process = run(tmp_path / "data", "--workers", "3")
    output, _ = process.communicate()
    assert process.returncode == 0
    assert output.split() == [str(n) for n in range(9)]
    assert contents(tmp_path / "data") == uninterrupted


@pytest.mark.parametrize("flush", [1, 9, 10, 13])
def test_killed_while_writing(tmp_path, uninterrupted, flush):
    """Killed at the n-th flush (manifest; 8 files and the rename of each shard), then resumed."""
    out = tmp_path / "data"
    process = run(out, "--kill-at", str(flush))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    shards = sorted(path.name for path in out.glob("shard-*"))
    assert len(shards) == (flush - 1) // 9
    left = contents(out)
    for name in uninterrupted:
        if name.split("/")[0] in shards:
            assert left[name] == uninterrupted[name]
    if shards:
        assert len(Rollouts.open(out).episodes) == min(8, 3 * len(shards))
    process = run(out)
    process.communicate()
    assert process.returncode == 0
    assert contents(out) == uninterrupted


def test_killed_with_workers(tmp_path, uninterrupted):
    """kill -9 of the parent: its workers end by themselves, and a resumed run completes."""
    out = tmp_path / "data"
    process = run(out, "--workers", "2")
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    assert process.stdout.readline() == "1\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate()
    assert children
    deadline = time.monotonic() + 300
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.02)
    process = run(out, "--workers", "2")
    process.communicate()
    assert process.returncode == 0
    assert contents(out) == uninterrupted


def test_a_killed_worker_is_told_of(tmp_path):
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(tmp_path / "data"), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers: list[str] = []
    while len(workers) < 2:  # beside them there is multiprocessing's resource tracker
        assert process.poll() is None
        workers = [
            child
            for child in tasks.read_text().split()
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
    os.kill(int(workers[0]), signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "RuntimeError: a collecting worker died" in errors


def test_finished_work_is_not_done_again(tmp_path, monkeypatch):
    config = CollectConfig(frames_spec(), tmp_path / "data", episodes=3, episodes_per_shard=2)
    first = collect(config)
    before = contents(config.out)
    monkeypatch.setattr(frames_env.FramesEnv, "reset", None)
    calls = []
    again = collect(config, lambda *call: calls.append(call))
    assert contents(config.out) == before
    assert calls == [("collect", 3, 3, {"frames": first.real_steps})]
    assert again.real_steps == first.real_steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 9}, "source.seed: the folder has 0, asked for 9"),
        ({"episodes": 4}, "episodes: the folder has 3, asked for 4"),
        ({"patience": 5}, "source.patience: the folder has None, asked for 5"),
        ({"real": frames_spec(repeat=2)}, "real.preprocessing: "),
    ],
)
def test_a_folder_of_other_settings_is_refused(tmp_path, change, message):
    config = CollectConfig(frames_spec(), tmp_path / "data", episodes=3)
    collect(config)
    before = contents(config.out)
    with pytest.raises(DataError, match=message):
        collect(dataclasses.replace(config, **change))
    assert contents(config.out) == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(
        DataError, match=r"expected an empty or new folder, found \['thesis\.tex'\]"
    ):
        collect(CollectConfig(frames_spec(), tmp_path, episodes=1))
    assert contents(tmp_path) == {"thesis.tex": b"precious"}


def test_two_collections_in_one_folder_are_refused(tmp_path):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another collection is writing here"):
            collect(CollectConfig(frames_spec(), tmp_path, episodes=1))


def test_limits_truncate(tmp_path):
    spec = frames_spec(end=0.03)
    free = collect(CollectConfig(spec, tmp_path / "free", episodes=12)).episodes
    short = collect(CollectConfig(spec, tmp_path / "short", episodes=12, max_decisions=6)).episodes
    assert {len(e) < 6 for e in free} == {True, False}
    for whole, cut in zip(free, short, strict=True):
        assert len(cut) == min(6, len(whole))
        assert np.array_equal(cut.frames, whole.frames[: len(cut) + 1])
        ended = len(whole) <= 6 and whole.terminated
        assert (cut.terminated, cut.truncated) == (ended, not ended)


def test_patience_truncates_after_decisions_without_reward(tmp_path):
    spec = frames_spec(end=0.01)
    free = collect(CollectConfig(spec, tmp_path / "free", episodes=12)).episodes
    impatient = collect(CollectConfig(spec, tmp_path / "cut", episodes=12, patience=3)).episodes
    cuts = 0
    for whole, cut in zip(free, impatient, strict=True):
        poor = [bool((whole.rewards[max(0, t - 3) : t] <= 0).all()) for t in range(3, len(whole))]
        expected = next((t + 3 for t, p in enumerate(poor) if p), len(whole))
        assert len(cut) == expected
        cuts += expected < len(whole)
        assert cut.truncated or cut.terminated
    assert cuts > 2


def test_a_failing_env_says_so_and_leaves_nothing(tmp_path):
    config = CollectConfig(frames_spec(fail_at=3), tmp_path / "one", episodes=2)
    with pytest.raises(ZeroDivisionError, match="the env broke"):
        collect(config)
    assert set(contents(config.out)) == {"manifest.json"}


def test_a_failing_worker_says_so(tmp_path):
    """The test env is unknown in a spawned process: the worker's own traceback comes back."""
    config = CollectConfig(
        frames_spec(), tmp_path / "two", episodes=4, workers=2, episodes_per_shard=1
    )
    with pytest.raises(RuntimeError, match=r"(?s)worker failed.*Traceback.*TestFrames-v0"):
        collect(config)
    assert set(contents(config.out)) == {"manifest.json"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"episodes": 0}, "episodes: expected at least 1, got 0"),
        ({"workers": 0}, "workers: expected at least 1"),
        ({"noise": -0.1}, "noise: expected 0 to 10"),
        ({"patience": 0}, "patience: expected at least 1 or None"),
        ({"policy": "policy.zip"}, "together with the dream"),
        ({"dream": "Dream-CarRacing-v0"}, "together with the dream"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        CollectConfig(frames_spec(), tmp_path, **({"episodes": 1} | settings))


def test_the_manifest_says_how(tmp_path):
    config = CollectConfig(frames_spec(), tmp_path / "data", episodes=2, seed=4, hold=3)
    collect(config)
    manifest = read_manifest(config.out)
    assert manifest.real == config.real
    assert (manifest.source["seed"], manifest.source["hold"]) == (4, 3)
    assert manifest.versions["gymnasium"] == gym.__version__
    assert manifest.policy == "random"


def test_car_racing(tmp_path):
    """The declared CarRacing: shapes, counts, and that its own plain env gives the same rewards."""
    from dreamenv.real_specs import load_real_spec

    spec = load_real_spec("CarRacing-v3")
    config = CollectConfig(spec, tmp_path / "data", episodes=1, seed=2, max_decisions=6)
    episode = collect(config).episodes[0]
    assert episode.frames.shape == (7, 64, 64, 3)
    assert (episode.real_steps, episode.truncated, episode.terminated) == (24, True, False)
    env = build_env(spec)
    frame, _ = env.reset(seed=episode.seed)
    assert np.array_equal(episode.frames[0], frame)
    for action, reward, seen in zip(
        episode.actions, episode.rewards, episode.frames[1:], strict=True
    ):
        frame, expected, *_ = env.step(action)
        assert np.float32(expected) == reward
        assert np.array_equal(seen, frame)
