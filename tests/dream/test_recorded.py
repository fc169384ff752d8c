"""``starts="data"``: dreams that begin at any moment of recorded episodes."""

from __future__ import annotations

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats

from dreamenv.config import PackageConfig
from dreamenv.data.manifest import Manifest, read_manifest, write_manifest
from dreamenv.data.shards import Episode, write_shard
from dreamenv.dream import Dream
from dreamenv.errors import DataError
from dreamenv.make import dream_source
from dreamenv.packages import Package

LENGTHS = (7, 1, 12, 3, 5)


def record(folder, config: PackageConfig, lengths=LENGTHS, per_shard=2) -> list[Episode]:
    """Episodes of random observations and actions; the even ones terminate."""
    rng = np.random.default_rng(len(lengths))
    shape = tuple(config.observation_shape)
    episodes = [
        Episode(
            frames=rng.normal([0, 5, -1, 2], [1, 2, 0.5, 3], (length + 1, *shape)).astype("f4")
            if config.observation_dtype == "float32"
            else rng.integers(0, 256, (length + 1, *shape), np.uint8),
            actions=rng.uniform(-1, 1, (length, 3)).astype(np.float32),
            rewards=np.zeros(length, np.float32),
            terminated=number % 2 == 0,
            truncated=number % 2 == 1,
            seed=number,
            policy="random",
            real_steps=length,
        )
        for number, length in enumerate(lengths)
    ]
    folder.mkdir()
    manifest = Manifest(
        real=config.real,
        observation_shape=config.observation_shape,
        observation_dtype=config.observation_dtype,
        action=config.action,
        episodes=len(episodes),
        episodes_per_shard=per_shard,
        policy="random",
        source={"seed": 0},
        versions={},
    )
    write_manifest(folder, manifest)
    for shard in range(-(-len(episodes) // per_shard)):
        write_shard(folder, shard, episodes[shard * per_shard : (shard + 1) * per_shard])
    return episodes


def moments(episodes: list[Episode]) -> list[tuple[Episode, int]]:
    """All but the last of those that terminated."""
    return [(e, t) for e in episodes for t in range(len(e.frames) - e.terminated)]


@pytest.fixture(scope="module")
def unsure(make_unsure_package) -> Package:
    return make_unsure_package()


@pytest.fixture(scope="module")
def recorded(unsure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "data"
    return folder, record(folder, unsure.config)


def still(lanes: int) -> np.ndarray:
    return np.zeros((lanes, 3), np.float32)


def test_every_moment_is_a_start_but_where_an_episode_terminated(unsure, recorded):
    """This family's state is the observation, normalised."""
    folder, episodes = recorded
    expected = np.stack([e.frames[t] for e, t in moments(episodes)])
    assert len(expected) == sum(LENGTHS) + 2
    dream = Dream(unsure, len(expected), obs="pixels", starts="data", data=folder)
    shown = dream.reset(options={"start": np.arange(len(expected))})
    np.testing.assert_allclose(shown.observation, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=f"the package has {len(expected)} start states"):
        dream.reset(options={"start": len(expected)})


def test_they_are_drawn_evenly(unsure, recorded):
    folder, episodes = recorded
    expected = np.stack([e.frames[t] for e, t in moments(episodes)])
    dream = Dream(unsure, 2900, obs="pixels", starts="data", data=[folder])
    shown = dream.reset(seeds=range(2900)).observation
    which = np.isclose(shown[:, None], expected, rtol=1e-4, atol=1e-4).all(-1)
    assert (which.sum(1) == 1).all()
    assert stats.chisquare(which.sum(0)).pvalue > 1e-3


def test_what_an_episode_keeps_is_drawn_as_it_begins(unsure, recorded):
    """Which member a lane follows, whatever it starts from."""
    dream = Dream(unsure, 300, starts="data", data=recorded[0])
    dream.reset(seeds=range(300))
    counts = np.bincount(dream.snapshot().arrays["state.member"], minlength=3)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_states_that_remember_are_those_of_the_episode_so_far(small, tmp_path):
    """A recurrent family, against dreams that are shown each prefix of each episode."""
    episodes = record(tmp_path / "data", small.config)
    every = moments(episodes)
    dream = Dream(small, len(every), starts="data", data=str(tmp_path / "data"))
    shown = dream.reset(options={"start": np.arange(len(every))}).observation
    alone = Dream(small, 1)
    for row, (episode, time) in zip(shown, every, strict=True):
        seen = {"observations": episode.frames[: time + 1], "actions": episode.actions[:time]}
        expected = alone.reset(options=seen).observation[0]
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_a_state_does_not_depend_on_what_else_was_recorded(small, tmp_path):
    """More episodes than are filtered at once, and one of them by itself."""
    episodes = record(tmp_path / "many", small.config, [3] * 70 + [5], per_shard=71)
    many = Dream(small, 1, starts="data", data=tmp_path / "many").table.bank
    begin = [at for at, (_, time) in enumerate(moments(episodes)) if time == 0]
    assert many.firsts.tolist() == begin
    assert len(many) == 3 * 35 + 4 * 35 + 5
    for number in (0, 35, 70):
        own = tmp_path / str(number)
        own.mkdir()
        manifest = read_manifest(tmp_path / "many")
        update = {"episodes": 1, "episodes_per_shard": 1}
        write_manifest(own, manifest.model_copy(update=update))
        write_shard(own, 0, [episodes[number]])
        alone = Dream(small, 1, starts="data", data=own).table.bank
        for name, rows in alone.entries.items():
            assert torch.equal(many.entries[name][begin[number] :][: len(rows)], rows)


def test_a_short_horizon_makes_branches_that_are_truncated(unsure, recorded):
    dream = Dream(unsure, 5, starts="data", data=recorded[0], horizon=3, termination="none")
    dream.reset(seeds=range(5))
    for time in (1, 2, 3):
        shown = dream.step(still(5))
        assert (shown.truncated == (time == 3)).all()
    assert not shown.terminated.any()


def test_lanes_that_began_in_data_are_lanes_like_any_other(unsure, recorded):
    """Snapshots go from one dream to another, and branches go on alike."""
    dream = Dream(unsure, 2, starts="data", data=recorded[0], termination="none")
    dream.reset(seeds=[4, 5])
    kept = dream.snapshot()
    later = [dream.step(still(2)) for _ in range(3)]
    for other in (dream, Dream(unsure, 2)):
        assert other.restore(kept).observation.tobytes() == kept.arrays["state.s"].tobytes()
        for shown in later:
            again = other.step(still(2))
            assert again.observation.tobytes() == shown.observation.tobytes()
            assert again.reward.tobytes() == shown.reward.tobytes()
    dream.branch([0], [1])
    shown = dream.step(still(2))
    assert shown.observation[0].tobytes() == shown.observation[1].tobytes()


def test_a_lane_begins_the_same_alone_as_among_others(unsure, recorded):
    many = Dream(unsure, 7, starts="data", data=recorded[0]).reset(seeds=range(7)).observation
    one = Dream(unsure, 1, starts="data", data=recorded[0]).reset(seeds=[6]).observation
    assert one[0].tobytes() == many[6].tobytes()


def test_by_name_and_in_another_process(unsure_package, unsure, recorded, tmp_path, monkeypatch):
    """A folder named relative to here, in a spec that is JSON and in an env that is pickled."""
    folder = recorded[0]
    monkeypatch.chdir(folder.parent)
    how = dict(model=str(unsure_package), starts="data", data=[folder.name], horizon=4)
    env = gym.make("Dream-v0", **how)
    env.spec.to_json()
    envs = gym.make_vec("Dream-v0", num_envs=3, **how)
    source = cloudpickle.dumps(dream_source(**how))
    here = envs.reset(seed=2)[0]
    monkeypatch.chdir(tmp_path)
    there = cloudpickle.loads(source).open(3)
    assert there.reset(seeds=[2, 3, 4]).observation.tobytes() == here.tobytes()
    near = Dream(unsure, 1, starts="data", data=folder).reset(seeds=[2]).observation
    assert here[0].tobytes() == near[0].tobytes()


def test_bank_is_another_name_of_any(small):
    shown = [Dream(small, 50, starts=name).reset(seeds=range(50)) for name in ("any", "bank")]
    assert shown[0].observation.tobytes() == shown[1].observation.tobytes()
    first = Dream(small, 50, starts="first").reset(seeds=range(50))
    assert first.observation.tobytes() != shown[0].observation.tobytes()


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("real", {"env_id": "Walker2d-v5"}),
        ("observation_shape", [5]),
        ("action", {"type": "box", "size": 2}),
    ],
)
def test_data_of_another_env_is_refused(unsure, unsure_package, tmp_path, field, other):
    record(tmp_path / "data", unsure.config, lengths=[2])
    path = tmp_path / "data" / "manifest.json"
    told = Manifest.model_validate_json(path.read_bytes()).model_dump(mode="json")
    path.write_text(Manifest.model_validate({**told, field: other}).model_dump_json())
    for make in (
        lambda **data: Dream(unsure, 1, **data),
        lambda **data: dream_source(unsure_package, **data),
    ):
        with pytest.raises(DataError, match=f"{field}: expected .* as in the package, found"):
            make(starts="data", data=tmp_path / "data")


def test_vectors_are_no_frames(small, unsure, tmp_path):
    record(tmp_path / "vectors", unsure.config, lengths=[2])
    with pytest.raises(DataError, match=r"expected .* as in the package"):
        Dream(small, 1, starts="data", data=tmp_path / "vectors")


def test_no_data_there(unsure_package, tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="expected a folder of rollouts"):
            dream_source(unsure_package, starts="data", data=str(folder))


def test_a_server_has_none_of_the_data(recorded):
    for far in (dict(starts="data"), dict(starts="data", data=str(recorded[0]))):
        with pytest.raises(ValueError, match=r'reset\(options=\{"observations"'):
            dream_source("Dream-CarRacing-v0", server="localhost:1", **far)


def test_a_part_begins_in_its_dreams_data(unsure, recorded):
    """The first moments of its episodes, or any of them."""
    folder, episodes = recorded
    dream = Dream(unsure, 60, obs="pixels", starts="data", data=folder)
    part = dream.part(range(60), starts="first")
    begun = part.reset(seeds=range(60)).observation
    firsts = np.stack([e.frames[0] for e in episodes])
    assert np.isclose(begun[:, None], firsts, rtol=1e-4, atol=1e-4).all(-1).any(1).all()
    with pytest.raises(ValueError, match='starts is "data"'):
        Dream(unsure, 1).part([0], starts="data")
