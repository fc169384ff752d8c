"""Minari datasets: ours become theirs and come back; theirs become ours."""

from __future__ import annotations

import sys

import gymnasium as gym
import minari
import numpy as np
import pytest
from frames_env import frames_spec
from minari.dataset.minari_storage import MinariStorage
from typer.testing import CliRunner

from dreamenv.cli import app
from dreamenv.config import Crop, RescaleAction
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.minari import export_minari, import_minari
from dreamenv.data.rollouts import Rollouts
from dreamenv.errors import DataError


@pytest.fixture(autouse=True)
def datasets(tmp_path, monkeypatch):
    """Minari's local root, for one test."""
    root = tmp_path / "minari"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    return root


def collected(out, **kwargs) -> Rollouts:
    return collect(CollectConfig(frames_spec(**kwargs), out, episodes=11, seed=6, max_decisions=9))


@pytest.mark.parametrize("discrete", [False, True])
def test_a_round_trip_loses_nothing(tmp_path, discrete):
    ours = collected(tmp_path / "ours", discrete=discrete)
    assert {e.terminated for e in ours.episodes} == {True, False}
    assert {e.truncated for e in ours.episodes} == {True, False}
    export_minari(ours, "frames/random-v0")
    back = import_minari("frames/random-v0", tmp_path / "back")
    assert back.manifests[0].source == {"minari": "frames/random-v0"}
    for name in ("real", "observation_shape", "action", "real_steps"):
        assert getattr(back, name) == getattr(ours, name), name
    assert len(back.episodes) == 11
    for a, b in zip(back.episodes, ours.episodes, strict=True):
        for name in ("frames", "actions", "rewards"):
            assert getattr(a, name).dtype == getattr(b, name).dtype
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
        for name in ("terminated", "truncated", "seed", "policy", "real_steps"):
            assert getattr(a, name) == getattr(b, name), name


def test_by_the_command_line_there_and_back(tmp_path):
    ours = collected(tmp_path / "ours")
    commands = [
        ["export", "minari", str(tmp_path / "ours"), "frames/mine-v0"],
        ["import", "minari", "frames/mine-v0", "--out", str(tmp_path / "back")],
    ]
    for command in commands:
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    back = Rollouts.open(tmp_path / "back")
    assert f"{back.real_steps:,} real frames" in result.stdout
    assert [e.seed for e in back.episodes] == [e.seed for e in ours.episodes]
    assert CliRunner().invoke(app, ["export", "tfds", "x", "y"]).exit_code == 2


def test_minari_itself_reads_what_was_exported(tmp_path):
    ours = collected(tmp_path / "ours")
    export_minari(ours, "frames-v3")
    dataset = minari.load_dataset("frames-v3")
    assert list(minari.list_local_datasets()) == ["frames-v3"]
    assert dataset.total_steps == sum(map(len, ours.episodes))
    assert dataset.observation_space == gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    for theirs, episode in zip(dataset, ours.episodes, strict=True):
        assert np.array_equal(theirs.observations, episode.frames)
        assert theirs.terminations.tolist()[-1] == episode.terminated
        assert theirs.truncations.tolist()[-1] == episode.truncated
        assert not (theirs.terminations | theirs.truncations)[:-1].any()


def foreign(root, dataset_id="foreign-v0", **changes) -> dict:
    """A dataset that Minari's own code wrote: raw frames of 6×8, actions in [-1, 0]…[1, 4]."""
    rng = np.random.default_rng(0)
    episode = dict(
        observations=rng.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8),
        actions=rng.uniform([-1, 0], [1, 4], (3, 2)).astype(np.float32),
        rewards=np.array([1.0, 0.5, -2.0]),
        terminations=np.array([False, False, True]),
        truncations=np.array([False, False, False]),
    )
    episode |= changes
    path = root / dataset_id / "data"
    path.parent.mkdir(parents=True)
    storage = MinariStorage.new(
        path,
        observation_space=gym.spaces.Box(0, 255, (6, 8, 3), np.uint8),
        action_space=gym.spaces.Box(np.float32([-1, 0]), np.float32([1, 4])),
        jpeg_encoding=False,
    )
    storage.update_metadata({"dataset_id": dataset_id, "minari_version": minari.__version__})
    storage.update_episodes([minari.data_collector.EpisodeBuffer(**episode)])
    return episode


SEEN = frames_spec().model_copy(
    update={
        "preprocessing": [Crop(top=1, bottom=5, right=8), RescaleAction(low=[-1, 0], high=[1, 4])]
    }
)
NARROW = frames_spec().model_copy(
    update={"preprocessing": [RescaleAction(low=[-1, 0], high=[1, 1])]}
)
PLAIN = frames_spec().model_copy(update={"preprocessing": []})


def test_a_foreign_dataset_is_seen_through_the_declared_steps(tmp_path, datasets):
    theirs = foreign(datasets)
    rollouts = import_minari("foreign-v0", tmp_path / "ours", SEEN)
    episode = rollouts.episodes[0]
    assert np.array_equal(episode.frames, theirs["observations"][:, 1:5])
    np.testing.assert_allclose(episode.actions, theirs["actions"] * [1, 0.5] - [0, 1], atol=1e-6)
    assert episode.rewards.tolist() == [1.0, 0.5, -2.0]
    assert (episode.terminated, episode.truncated, episode.real_steps) == (True, False, 3)
    assert rollouts.real == SEEN
    plain = import_minari("foreign-v0", tmp_path / "plain", PLAIN).episodes[0]
    assert np.array_equal(plain.frames, theirs["observations"])
    assert np.array_equal(plain.actions, episode.actions)


@pytest.mark.parametrize(
    ("changes", "real", "message"),
    [
        ({}, None, "expected real, the env behind it"),
        ({}, frames_spec(repeat=4), "expected real without action_repeat, got one of 4"),
        ({}, NARROW, r"expected actions in \[-1.0, 0.0\] … \[1.0, 1.0\], found"),
        ({"observations": np.zeros((3, 6, 8, 3), np.uint8)}, SEEN, "3 steps, 3 observations"),
        ({"terminations": np.array([False, True, False])}, SEEN, r"ends at \[1\]"),
    ],
)
def test_what_cannot_be_ours_is_refused(tmp_path, datasets, changes, real, message):
    foreign(datasets, **changes)
    with pytest.raises(DataError, match=message):
        import_minari("foreign-v0", tmp_path / "ours", real)
    assert not list((tmp_path / "ours").glob("shard-*"))


def test_another_spec_than_its_own_is_refused(tmp_path):
    export_minari(collected(tmp_path / "ours"), "frames-v0")
    with pytest.raises(DataError, match=r"expected real .*times=4.* its own, got .*times=2"):
        import_minari("frames-v0", tmp_path / "back", frames_spec(repeat=2))


def test_a_missing_dataset_is_named(tmp_path):
    with pytest.raises(DataError, match=r"'nothing-v0': expected a local one, found none"):
        import_minari("nothing-v0", tmp_path / "ours")


def test_an_export_is_whole_or_not_there(tmp_path, datasets, monkeypatch):
    """Broken off between two batches, nothing is left; and a finished one is never replaced."""
    ours = collected(tmp_path / "ours")
    update = MinariStorage.update_metadata
    with monkeypatch.context() as patch:
        calls = []

        def full(storage, metadata):
            calls.append(metadata)
            if len(calls) == 4:
                raise OSError("the disk is full")
            update(storage, metadata)

        patch.setattr(MinariStorage, "update_metadata", full)
        with pytest.raises(OSError, match="the disk is full"):
            export_minari(ours, "frames-v0")
    assert not [path for path in datasets.rglob("*") if path.is_file()]
    left = datasets / "frames-v0" / ".unfinished-by-one-killed"
    left.mkdir()
    (left / ".lock").write_text("")
    export_minari(ours, "frames-v0")
    assert not left.exists()
    with pytest.raises(DataError, match="expected no dataset 'frames-v0' yet"):
        export_minari(ours, "frames-v0")
    with pytest.raises(ValueError, match="Malformed dataset ID"):
        export_minari(ours, "../escape")


def test_without_minari_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ImportError, match=r'pip install "dreamenv\[minari\]"'):
        import_minari("frames-v0", tmp_path)
