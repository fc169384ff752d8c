"""A package trained end to end on a small real env knows that env."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import block_env
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.config import RealSpec
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.rollouts import Rollouts
from dreamenv.data.shards import Episode
from dreamenv.errors import DataError, PackageError
from dreamenv.models.mdnrnn import MDNRNN
from dreamenv.models.world_model import Noise
from dreamenv.packages import Package, load_package, verify_package
from dreamenv.progress import silent
from dreamenv.training.mdnrnn import RNNConfig, read
from dreamenv.training.sequences import RealSequence, encode
from dreamenv.training.train import TrainConfig, split, train_mdnrnn
from dreamenv.training.vae import VAEConfig

CONFIG = TrainConfig(
    name="block",
    vae=VAEConfig(steps=600, batch=48, learning_rate=3e-3),
    rnn=RNNConfig(steps=500, batch=16, length=8, learning_rate=6e-3, latent_weight=1.0),
    sizes=block_env.SIZES,
    defaults={"horizon": 12},
    learn={"timesteps": 777},
    firsts=20,
    others=30,
    held_out=0.2,
    seed=4,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "random"
    collect(CollectConfig(block_env.REAL, out, episodes=90, seed=1, hold=6))
    return out


@pytest.fixture(scope="module")
def stages() -> list[str]:
    return []


@pytest.fixture(scope="module")
def trained(data, stages, tmp_path_factory) -> Package:
    out = tmp_path_factory.mktemp("trained") / "block"
    return train_mdnrnn(
        data,
        out,
        CONFIG,
        progress=lambda stage, *rest: stages.append(stage),
        provenance={"command": "a test"},
        card="# block\n",
    )


@pytest.fixture(scope="module")
def unseen(data, trained) -> tuple[MDNRNN, list[RealSequence]]:
    _, held_out = split(Rollouts.open(data).episodes, 0.2)
    model = trained.world_model()
    assert isinstance(model, MDNRNN)
    return model, encode(model.vae, held_out, silent)


def test_it_leaves_a_whole_package(data, trained, stages):
    verify_package(trained.path)
    rollouts = Rollouts.open(data)
    config = load_package(trained.path).config
    assert config.real == block_env.REAL
    assert config.observation_shape == [16, 16, 3]
    assert (config.name, config.latent, config.features) == ("block", 2, 26)
    assert (config.defaults.horizon, config.learn.timesteps) == (12, 777)
    assert config.defaults.termination == "sample"
    assert list(dict.fromkeys(stages)) == ["vae", "encode", "mdnrnn"]
    assert (trained.path / "README.md").read_text() == "# block\n"
    provenance = config.provenance
    assert provenance["real_steps"] == sum(len(e) for e in rollouts.episodes)
    assert (provenance["episodes"], provenance["held_out_episodes"]) == (90, 18)
    assert provenance["command"] == "a test"
    assert provenance["training"]["rnn"]["steps"] == 500
    assert provenance["training"]["seed"] == 4
    assert provenance["versions"]["torch"] == torch.__version__
    starts = trained.starts["first"]
    assert int(starts.sum()) == 20
    assert 20 <= int((starts == 0).sum()) <= 40


def test_measured_figures_are_of_the_held_out_episodes(data, trained, unseen):
    model, sequences = unseen
    _, held_out = split(Rollouts.open(data).episodes, 0.2)
    measured = trained.config.provenance["held_out"]
    assert measured["endings_actual"] == np.mean([e.terminated for e in held_out])
    readings = dict(read(model, sequences))
    nll = np.concatenate([readings[i].nll for i in range(len(sequences))]).mean()
    assert measured["nll"] == pytest.approx(float(nll), rel=1e-4)
    ended = [
        bool((readings[i].termination > trained.config.defaults.threshold).any())
        for i in range(len(sequences))
    ]
    assert sum(ended) == sum(e.terminated for e in held_out)


def test_the_reward_is_known(data, trained):
    """Against the mean reward; the rewards of held-out episodes spread over 0 to 1."""
    training, held_out = split(Rollouts.open(data).episodes, 0.2)
    mean = np.concatenate([e.rewards for e in training]).mean()
    rewards = np.concatenate([e.rewards for e in held_out])
    baseline = np.abs(rewards - mean).mean()
    measured = trained.config.provenance["held_out"]
    assert baseline > 0.15
    assert measured["reward_mae"] < 0.25 * baseline
    assert abs(measured["reward_bias"]) < 0.2 * baseline


def test_the_next_latent_is_known(data, trained, unseen):
    """In nats, against a Gaussian fitted to all latents; and its mode, against standing still."""
    model, sequences = unseen
    training, _ = split(Rollouts.open(data).episodes, 0.2)
    known = encode(model.vae, training, silent)
    means = torch.cat([s.mean for s in known])
    noise = torch.cat([s.log_variance for s in known]).exp().mean(0)
    marginal = torch.distributions.Normal(means.mean(0), (means.var(0) + noise).sqrt())
    following = torch.cat([s.mean[1:] for s in sequences])
    baseline = -marginal.log_prob(following).mean().item()
    assert trained.config.provenance["held_out"]["nll"] < baseline - 0.7
    mode, still = [], []
    for i, reading in read(model, sequences):
        n = len(sequences[i])
        state = {"z": reading.z[:n], "h": reading.h[:n], "c": reading.c[:n]}
        state["mask"] = torch.ones_like(state["h"])
        noise = Noise(torch.full((n, 2), 0.5), torch.zeros(n, 2))
        with torch.inference_mode():
            dreamt = model.step(state, sequences[i].actions, torch.zeros(n), noise)
        mode.append((dreamt.state["z"] - reading.z[1:]).square())
        still.append((reading.z[:n] - reading.z[1:]).square())
    assert torch.cat(mode).mean() < 0.3 * torch.cat(still).mean()


def test_the_ending_is_known(data, trained, unseen):
    model, sequences = unseen
    ends, others = [], []
    for i, reading in read(model, sequences):
        last = reading.termination[-1:].tolist()
        (ends if sequences[i].terminated else others).extend(last)
        others.extend(reading.termination[:-1].tolist())
    assert len(ends) == 6
    assert np.mean(ends) > 0.6
    assert np.mean(others) < 0.1


def test_held_out_episodes_are_not_trained_on(data, trained, tmp_path, monkeypatch):
    """The data with other pictures, actions and rewards in the held-out episodes: same weights."""
    rollouts = Rollouts.open(data)
    _, held_out = split(rollouts.episodes, 0.2)
    hidden = {id(e) for e in held_out}
    spoiled = [
        dataclasses.replace(
            e, frames=255 - np.array(e.frames), actions=-e.actions, rewards=e.rewards + 5
        )
        if id(e) in hidden
        else e
        for e in rollouts.episodes
    ]
    short = dataclasses.replace(
        CONFIG,
        vae=dataclasses.replace(CONFIG.vae, steps=3),
        rnn=dataclasses.replace(CONFIG.rnn, steps=3),
    )
    one = train_mdnrnn(data, tmp_path / "one", short)
    monkeypatch.setattr(Rollouts, "open", lambda paths: Rollouts(rollouts.manifests, spoiled))
    two = train_mdnrnn(data, tmp_path / "two", short)
    assert all(torch.equal(one.weights[n], two.weights[n]) for n in one.weights)
    assert all(torch.equal(one.starts[n], two.starts[n]) for n in one.starts)
    assert one.config.provenance["held_out"] != two.config.provenance["held_out"]


def test_data_that_never_ended_make_a_dream_that_never_ends(tmp_path):
    real = RealSpec(env_id="TestBlock-v0", max_episode_steps=2)
    rollouts = collect(CollectConfig(real, tmp_path / "data", episodes=4, hold=3))
    assert not any(e.terminated for e in rollouts.episodes)
    config = TrainConfig(
        vae=VAEConfig(steps=1, batch=2), rnn=RNNConfig(steps=1, batch=2, length=2),
        sizes=block_env.SIZES,
    )  # fmt: skip
    package = train_mdnrnn(tmp_path / "data", tmp_path / "package", config)
    assert package.config.defaults.termination == "none"


def test_training_goes_on_from_a_package(data, trained, tmp_path):
    """Not a step is taken: the weights are the first package's, and bins span both data."""
    none = dataclasses.replace(
        CONFIG,
        vae=dataclasses.replace(CONFIG.vae, steps=0),
        rnn=dataclasses.replace(CONFIG.rnn, steps=0),
    )
    again = train_mdnrnn(data, tmp_path / "again", none, initial=trained)
    assert all(torch.equal(trained.weights[n], again.weights[n]) for n in trained.weights)


def test_dropout_may_differ_from_the_package_that_is_trained_on_from(data, trained, tmp_path):
    """It shapes no weight; and a package from before a size was known says nothing of it."""
    short = dataclasses.replace(
        CONFIG,
        vae=dataclasses.replace(CONFIG.vae, steps=0),
        rnn=dataclasses.replace(CONFIG.rnn, steps=1),
        sizes=CONFIG.sizes | {"dropout": 0.2},
    )
    known = {n: v for n, v in trained.config.sizes.items() if n != "judges_next"}
    older = dataclasses.replace(trained, config=trained.config.model_copy(update={"sizes": known}))
    found = train_mdnrnn(data, tmp_path / "out", short, initial=older)
    assert found.config.sizes["dropout"] == 0.2


def test_checkpoints_of_other_data_or_settings_are_not_gone_on_with(data, tmp_path):
    """They are done, so that nothing would be trained, and the package not be what it says."""
    short = dataclasses.replace(
        CONFIG,
        vae=dataclasses.replace(CONFIG.vae, steps=2),
        rnn=dataclasses.replace(CONFIG.rnn, steps=2),
    )
    collect(CollectConfig(block_env.REAL, tmp_path / "more", episodes=3, seed=2))
    out = tmp_path / "out"
    first = train_mdnrnn(data, out, short)
    again = train_mdnrnn(data, out, short)
    assert again.identity == first.identity
    for paths, config, message in (
        ([data, tmp_path / "more"], short, "data differs"),
        (data, dataclasses.replace(short, seed=9), "config differs"),
    ):
        with pytest.raises(DataError, match=rf"out\.training/training\.json: {message}"):
            train_mdnrnn(paths, out, config)
    with pytest.raises(DataError, match="initial differs"):
        train_mdnrnn(data, out, short, initial=first)
    assert load_package(out).identity == first.identity


def test_one_episode_is_too_few(tmp_path):
    collect(CollectConfig(block_env.REAL, tmp_path / "data", episodes=1))
    with pytest.raises(DataError, match="expected at least 2 episodes, got 1; collect more"):
        train_mdnrnn(tmp_path / "data", tmp_path / "package")
    assert not (tmp_path / "package").exists()


@settings(deadline=None)
@given(st.integers(2, 200), st.integers(0, 200), st.sampled_from([0.0, 0.01, 0.05, 0.3, 0.5, 0.9]))
def test_an_episode_once_trained_on_is_never_held_out(count, more, share):
    """As a loop's data grow: else a package trained on from the last one would know the answers."""
    frames, actions = np.zeros((2, 1), np.uint8), np.zeros((1, 1), np.float32)
    episodes = [
        Episode(frames, actions, np.float32([i]), False, True, i, "", 1)
        for i in range(count + more)
    ]
    training, held_out = split(episodes[:count], share)
    assert training
    assert held_out
    assert sorted(e.seed for e in training + held_out) == list(range(count))
    if share >= 0.05:
        assert len(held_out) <= max(1, count // 2)
    _, later = split(episodes, share)
    if share > 0:
        assert not {e.seed for e in training} & {e.seed for e in later}


def test_what_no_package_can_have_is_refused_before_any_training(
    data, trained, tmp_path, monkeypatch
):
    """Hours later would be too late."""
    monkeypatch.setattr("dreamenv.training.train.fit_vae", None)
    monkeypatch.setattr("dreamenv.training.train.fit_mdnrnn", None)
    for changes, message in (
        ({"name": "a bad name!"}, "name"),
        ({"defaults": {"temprature": 1.0}}, "temprature"),
        ({"learn": {"algo": "es"}}, "algo"),
    ):
        with pytest.raises(DataError, match=message):
            train_mdnrnn(data, tmp_path / "out", dataclasses.replace(CONFIG, **changes))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(PackageError, match=r"thesis\.txt"):
        train_mdnrnn(data, tmp_path / "taken", CONFIG)
    wider = dataclasses.replace(CONFIG, sizes=CONFIG.sizes | {"hidden": 40})
    with pytest.raises(DataError, match="initial: expected a package of sizes"):
        train_mdnrnn(data, tmp_path / "out", wider, initial=trained)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
