"""Float vectors instead of frames: collected, read back, exported, damaged."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from minari.dataset.minari_storage import MinariStorage

from dreamenv.config import VECTOR_BOUND, BoxAction, RealSpec
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.manifest import Manifest, write_manifest
from dreamenv.data.minari import export_minari, import_minari
from dreamenv.data.rollouts import Episode, Rollouts
from dreamenv.data.shards import shard_folder, write_shard
from dreamenv.errors import DataError
from dreamenv.real_specs import load_real_spec

PENDULUM = load_real_spec("Pendulum-v1")
NUMBERS = st.floats(-VECTOR_BOUND, VECTOR_BOUND, width=32)


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def write(folder: Path, vectors: list[np.ndarray], dtype: str = "float32") -> None:
    """One shard of episodes with these observations."""
    folder.mkdir(parents=True)
    manifest = Manifest(
        real=PENDULUM,
        observation_shape=list(vectors[0].shape[1:]),
        observation_dtype=dtype,
        action=BoxAction(size=1),
        episodes=len(vectors),
        episodes_per_shard=len(vectors),
        policy="random",
        source={},
        versions={},
    )
    write_manifest(folder, manifest)
    episodes = [
        Episode(
            frames=v,
            actions=np.zeros((len(v) - 1, 1), np.float32),
            rewards=np.zeros(len(v) - 1, np.float32),
            terminated=False,
            truncated=True,
            seed=1,
            policy="random",
            real_steps=len(v) - 1,
        )
        for v in vectors
    ]
    write_shard(folder, 0, episodes)


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(
            st.integers(2, 5).flatmap(
                lambda t: arrays.arrays(np.float32, (t, n), elements=NUMBERS)
            ),
            min_size=1,
            max_size=4,
        )
    )
)
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, vectors):
    folder = tmp_path_factory.mktemp("vectors") / "data"
    write(folder, vectors)
    rollouts = Rollouts.open(folder)
    assert rollouts.observation_dtype == "float32"
    assert rollouts.observation_shape == vectors[0].shape[1:]
    for episode, expected in zip(rollouts.episodes, vectors, strict=True):
        assert episode.frames.dtype == np.float32
        assert np.array_equal(episode.frames, expected)


def test_collected_vectors_are_the_envs_own(tmp_path):
    """Oracle: the env itself, stepped with the recorded seed and actions."""
    spec = load_real_spec("CartPole-v1")
    rollouts = collect(CollectConfig(spec, tmp_path / "data", episodes=6, seed=3))
    assert (rollouts.observation_dtype, rollouts.observation_shape) == ("float32", (4,))
    env = gym.make("CartPole-v1")
    for episode in rollouts.episodes:
        seen = [env.reset(seed=episode.seed)[0]]
        for action, reward in zip(episode.actions, episode.rewards, strict=True):
            observation, expected, terminated, *_ = env.step(action)
            seen.append(observation)
            assert reward == expected
        assert np.array_equal(episode.frames, np.stack(seen))
        assert episode.terminated == terminated


def test_an_episode_follows_from_seed_and_number_alone(tmp_path):
    """Of an env whose simulation keeps a state of its own, too."""
    spec = load_real_spec("InvertedPendulum-v5")
    many = collect(CollectConfig(spec, tmp_path / "a", episodes=6, seed=2))
    shards = CollectConfig(spec, tmp_path / "b", episodes=5, seed=2, episodes_per_shard=1)
    for a, b in zip(many.episodes, collect(shards).episodes, strict=False):
        assert np.array_equal(a.frames, b.frames)
        assert np.array_equal(a.actions, b.actions)


def test_folders_of_another_dtype_are_refused(tmp_path):
    write(tmp_path / "a", [np.zeros((3, 4), np.float32)])
    write(tmp_path / "b", [np.zeros((3, 4), np.uint8)], "uint8")
    with pytest.raises(DataError, match=r"b: observation_dtype differs: expected float32"):
        Rollouts.open([tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e6, -1.1e6])
def test_values_that_no_collection_writes_are_refused(tmp_path, bad):
    vectors = np.zeros((4, 3), np.float32)
    vectors[2, 1] = bad
    write(tmp_path / "data", [np.zeros((2, 3), np.float32), vectors])
    with pytest.raises(DataError, match=r"frames\.npy: expected values within ±1e\+06, found NaN"):
        Rollouts.open(tmp_path / "data")


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, ">f4"])
def test_another_dtype_than_the_manifests_is_refused(tmp_path, dtype):
    write(tmp_path / "data", [np.ones((4, 3), np.float32)])
    path = shard_folder(tmp_path / "data", 0) / "frames.npy"
    np.save(path, np.ones((4, 3), dtype))
    with pytest.raises(DataError, match=r"frames\.npy: expected an .npy file of float32 \(4, 3\)"):
        Rollouts.open(tmp_path / "data")


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_no_garbled_file_gives_numbers_that_are_none(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("garbled") / "data"
    write(folder, [np.ones((4, 3), np.float32)])
    path = shard_folder(folder, 0) / "frames.npy"
    garbled = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        garbled[data.draw(st.integers(0, len(garbled) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(garbled)
    with contextlib.suppress(DataError):
        frames = Rollouts.open(folder).episodes[0].frames
        assert frames.shape == (4, 3)
        assert (np.abs(frames) <= VECTOR_BOUND).all()


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """Minari's local root, for one test."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def test_minari_there_and_back(tmp_path, datasets):
    ours = collect(CollectConfig(PENDULUM, tmp_path / "ours", episodes=3, max_decisions=9))
    export_minari(ours, "pendulum/random-v0")
    space = minari.load_dataset("pendulum/random-v0").observation_space
    assert space == gym.spaces.Box(-1e6, 1e6, (3,), np.float32)
    back = import_minari("pendulum/random-v0", tmp_path / "back")
    assert (back.observation_dtype, back.real) == ("float32", PENDULUM)
    for a, b in zip(back.episodes, ours.episodes, strict=True):
        assert a.frames.dtype == np.float32
        assert np.array_equal(a.frames, b.frames)
        assert np.array_equal(a.actions, b.actions)


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_a_foreign_datasets_doubles(tmp_path, datasets, bad):
    """Vectors of float64, as MuJoCo's envs show them, become float32; a NaN is refused."""
    observations = np.random.default_rng(0).standard_normal((4, 2)) * [1e9, 1.0]
    observations[2, 1] = bad
    path = datasets / "hopper-v0" / "data"
    path.parent.mkdir(parents=True)
    storage = MinariStorage.new(
        path,
        observation_space=gym.spaces.Box(-np.inf, np.inf, (2,), np.float64),
        action_space=gym.spaces.Box(-2, 2, (1,), np.float32),
    )
    storage.update_metadata({"dataset_id": "hopper-v0", "minari_version": minari.__version__})
    episode = minari.data_collector.EpisodeBuffer(
        observations=observations,
        actions=np.ones((3, 1), np.float32),
        rewards=np.ones(3),
        terminations=np.array([False, False, True]),
        truncations=np.zeros(3, bool),
    )
    storage.update_episodes([episode])
    real = RealSpec(env_id="Hopper-v5")
    if np.isnan(bad):
        with pytest.raises(DataError, match=r"Hopper-v5: expected a vector of numbers, got NaN"):
            import_minari("hopper-v0", tmp_path / "ours", real)
        assert not list((tmp_path / "ours").glob("shard-*"))
    else:
        frames = import_minari("hopper-v0", tmp_path / "ours", real).episodes[0].frames
        expected = np.clip(observations, -1e6, 1e6).astype(np.float32)
        assert np.array_equal(frames, expected)
