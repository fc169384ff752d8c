"""The folder of rollouts: what goes in comes out, damage is named, frames stay on the disk."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from frames_env import frames_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.config import BoxAction, DiscreteAction
from dreamenv.data.manifest import Manifest, write_manifest
from dreamenv.data.rollouts import Rollouts
from dreamenv.data.shards import Episode, shard_folder, write_shard
from dreamenv.errors import DataError

SHAPE = (4, 5, 3)


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    """Flushing matters to power cuts, and to no test here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def manifest_of(episodes: int, per_shard: int, action=None, policy="random") -> Manifest:
    return Manifest(
        real=frames_spec(),
        observation_shape=list(SHAPE),
        action=action or BoxAction(size=2),
        episodes=episodes,
        episodes_per_shard=per_shard,
        policy=policy,
        source={"seed": 0},
        versions={},
    )


def episode_of(length: int, seed: int, action=None) -> Episode:
    rng = np.random.default_rng([length, seed])
    discrete = isinstance(action, DiscreteAction)
    return Episode(
        frames=rng.integers(0, 256, (length + 1, *SHAPE), dtype=np.uint8),
        actions=rng.integers(0, 3, length)
        if discrete
        else rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        rewards=rng.standard_normal(length, dtype=np.float32),
        terminated=seed % 2 == 0,
        truncated=seed % 2 == 1,
        seed=seed,
        policy="random",
        real_steps=4 * length - seed % 4,
    )


def write(folder, episodes: list[Episode], per_shard: int, action=None) -> Manifest:
    folder.mkdir(parents=True)
    manifest = manifest_of(len(episodes), per_shard, action)
    write_manifest(folder, manifest)
    for i in range(len(manifest.shards)):
        write_shard(folder, i, episodes[i * per_shard : (i + 1) * per_shard])
    return manifest


def assert_same(found: Episode, expected: Episode) -> None:
    for name in ("frames", "actions", "rewards"):
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == b.dtype
        assert np.array_equal(a, b), name
    for name in ("terminated", "truncated", "seed", "policy", "real_steps"):
        assert getattr(found, name) == getattr(expected, name), name


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=7),
    st.integers(1, 4),
    st.sampled_from([BoxAction(size=2), DiscreteAction(n=3)]),
)
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, lengths, per_shard, action):
    folder = tmp_path_factory.mktemp("rollouts") / "data"
    episodes = [episode_of(length, i, action) for i, length in enumerate(lengths)]
    write(folder, episodes, per_shard, action)
    rollouts = Rollouts.open(folder)
    assert rollouts.complete
    assert len(rollouts.episodes) == len(episodes)
    assert rollouts.real_steps == sum(e.real_steps for e in episodes)
    for found, expected in zip(rollouts.episodes, episodes, strict=True):
        assert_same(found, expected)
        assert isinstance(found.frames, np.memmap)


def test_several_folders_are_read_in_order(tmp_path):
    one, two = [episode_of(3, 1)], [episode_of(2, 2), episode_of(4, 3)]
    write(tmp_path / "a", one, 1)
    write(tmp_path / "b", two, 2)
    found = Rollouts.open([tmp_path / "a", str(tmp_path / "b")]).episodes
    for a, b in zip(found, one + two, strict=True):
        assert_same(a, b)


def test_folders_of_different_envs_are_refused(tmp_path):
    write(tmp_path / "a", [episode_of(3, 1)], 1)
    action = DiscreteAction(n=3)
    write(tmp_path / "b", [episode_of(3, 1, action)], 1, action)
    with pytest.raises(DataError, match=r"b: action differs: expected .*size=2.* found .*n=3"):
        Rollouts.open([tmp_path / "a", tmp_path / "b"])


def test_an_unfinished_collection_is_read_as_far_as_it_went(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write_manifest(folder, manifest_of(5, 2))
    with pytest.raises(DataError, match="no finished shard"):
        Rollouts.open(folder)
    write_shard(folder, 1, [episode_of(2, 2), episode_of(3, 3)])
    rollouts = Rollouts.open(folder)
    assert [e.seed for e in rollouts.episodes] == [2, 3]
    assert not rollouts.complete


def rewrite(path, array) -> None:
    with path.open("wb") as file:
        np.save(file, array)


class Hostile:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


NOT_IT = "expected an .npy file of"
DAMAGE = {
    "missing": ("frames.npy", lambda p: p.unlink(), "found none"),
    "truncated": ("frames.npy", lambda p: p.write_bytes(p.read_bytes()[:-1]), NOT_IT),
    "empty": ("rewards.npy", lambda p: p.write_bytes(b""), NOT_IT),
    "dtype": (
        "frames.npy",
        lambda p: rewrite(p, np.load(p).astype(np.int16)),
        r"expected an .npy file of uint8 \(7, 4, 5, 3\).* found .*'<i2'",
    ),
    "shape": (
        "actions.npy",
        lambda p: rewrite(p, np.load(p)[:-1]),
        r"of float32 \(5, 2\).* found .*\(4, 2\)",
    ),
    "count": (
        "seeds.npy",
        lambda p: rewrite(p, np.load(p)[:1]),
        r"of int64 \(2,\).*found .*\(1,\)",
    ),
    "length": ("lengths.npy", lambda p: rewrite(p, np.array([5, 0])), "expected each ≥ 1"),
    "reward": (
        "rewards.npy",
        lambda p: rewrite(p, np.full(5, np.nan, np.float32)),
        "expected finite",
    ),
    "action": ("actions.npy", lambda p: rewrite(p, np.load(p) * 9), r"values in \[-1, 1\]"),
    "pickle": ("rewards.npy", lambda p: p.write_bytes(pickle.dumps(Hostile())), NOT_IT),
    "objects": (
        "rewards.npy",
        lambda p: rewrite(p, np.array([Hostile()] * 5, object)),
        NOT_IT,
    ),
    "huge": (
        "rewards.npy",
        lambda p: p.write_bytes(p.read_bytes().replace(b"(5,)", b"(5555555555555,)", 1)),
        NOT_IT,
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named(tmp_path, damage):
    folder = tmp_path / "data"
    write(folder, [episode_of(3, 1), episode_of(2, 2)], 2)
    name, harm, message = DAMAGE[damage]
    path = shard_folder(folder, 0) / name
    harm(path)
    with pytest.raises(DataError, match=message) as caught:
        Rollouts.open(folder)
    assert str(path) in str(caught.value)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_garbled_file_crashes_the_reader(tmp_path_factory, data):
    """Bytes changed anywhere in a shard: it opens with the right shapes, or DataError."""
    folder = tmp_path_factory.mktemp("garbled") / "data"
    write(folder, [episode_of(3, 1), episode_of(2, 2)], 2)
    path = data.draw(st.sampled_from(sorted(shard_folder(folder, 0).iterdir())))
    garbled = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        garbled[data.draw(st.integers(0, len(garbled) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(garbled)
    with contextlib.suppress(DataError):
        for episode in Rollouts.open(folder).episodes:
            assert episode.frames.shape == (len(episode) + 1, *SHAPE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format_version"),
        ({"episodes": 0}, "episodes"),
        ({"real": {"env_id": "module:Env-v0"}}, "env_id"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path, change, message):
    folder = tmp_path / "data"
    write(folder, [episode_of(3, 1)], 1)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message) as caught:
        Rollouts.open(folder)
    assert str(path) in str(caught.value)


def test_what_is_no_folder_of_rollouts_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"manifest\.json: no such file"):
        Rollouts.open(tmp_path)
    with pytest.raises(DataError, match="at least one folder"):
        Rollouts.open([])


def test_frames_are_not_loaded(tmp_path):
    """A gigabyte of frames is opened, and a slice of it read, within a few megabytes."""
    folder, shape = tmp_path / "data", (64, 64, 3)
    length = 2**30 // math.prod(shape)
    folder.mkdir()
    write_manifest(folder, manifest_of(1, 1).model_copy(update={"observation_shape": list(shape)}))
    write_shard(folder, 0, [episode_of(1, 2)])
    shard = shard_folder(folder, 0)
    frames = np.lib.format.open_memmap(shard / "frames.npy", "w+", np.uint8, (length + 1, *shape))
    frames[-1] = 7  # the rest is a hole in the file: it takes no room on the disk
    del frames
    rewrite(shard / "actions.npy", np.zeros((length, 2), np.float32))
    rewrite(shard / "rewards.npy", np.zeros(length, np.float32))
    for name in ("lengths", "real_steps"):
        rewrite(shard / f"{name}.npy", np.array([length]))
    script = """
        import resource, sys
        from dreamenv.data.rollouts import Rollouts
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        before = peak()
        episode = Rollouts.open(sys.argv[1]).episodes[0]
        assert episode.frames[-1].min() == 7 and episode.frames.nbytes > 2**30
        print(peak() - before)
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert float(output) < 64
