"""A package of an ensemble trained end to end on a small real env."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import block_env
import line_env
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from dreamenv.config import HoldLastFrame, RealSpec
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.rollouts import Episode, Rollouts
from dreamenv.dream import Dream
from dreamenv.errors import DataError, PackageError
from dreamenv.packages import Package, load_package, verify_package
from dreamenv.threads import one_torch_thread
from dreamenv.training import ensemble as training
from dreamenv.training.checkpoint import load_checkpoint
from dreamenv.training.ensemble import EnsembleConfig
from dreamenv.training.fit import FitConfig
from dreamenv.training.held_out import held_out_by, picked
from dreamenv.training.train import split
from dreamenv.training.train_ensemble import EnsembleTrainConfig, train_ensemble, vector_bank
from dreamenv.training.transitions import Transitions

SIZES = dict(members=4, elites=3, hidden=24, layers=1, outcome=24)
CONFIG = EnsembleTrainConfig(
    name="line",
    ensemble=EnsembleConfig(steps=500, batch=64, learning_rate=8e-3),
    sizes=SIZES,
    learn={"timesteps": 777},
    bank=1000,
    held_out=0.2,
    seed=4,
)
BRIEF = dataclasses.replace(CONFIG, ensemble=EnsembleConfig(steps=3, batch=8))


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_threads():
    with one_torch_thread():  # two would cost more than they save, at this size
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "random"
    collect(CollectConfig(line_env.REAL, out, episodes=120, seed=1, hold=3))
    return out


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Five episodes: too few to hold whole ones out."""
    out = tmp_path_factory.mktemp("few") / "random"
    collect(CollectConfig(line_env.REAL, out, episodes=5, seed=2))
    return out


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Package:
    out = tmp_path_factory.mktemp("trained") / "line"
    return train_ensemble(data, out, CONFIG, provenance={"command": "a test"}, card="# line\n")


@pytest.fixture(scope="module")
def unseen(data) -> list[Episode]:
    return split(Rollouts.open(data).episodes, 0.2)[1]


def test_it_leaves_a_whole_package(data, trained):
    verify_package(trained.path)
    rollouts = Rollouts.open(data)
    config = load_package(trained.path).config
    assert (config.family, config.real) == ("ensemble", line_env.REAL)
    assert (config.observation_shape, config.observation_dtype) == ([2], "float32")
    assert (config.name, config.latent, config.features) == ("line", 2, 2)
    assert {name: config.sizes[name] for name in SIZES} == SIZES
    assert config.learn.timesteps == 777
    assert config.defaults.termination == "sample"
    assert (trained.path / "README.md").read_text() == "# line\n"
    provenance = config.provenance
    assert provenance["real_steps"] == sum(len(e) for e in rollouts.episodes)
    assert provenance["episodes"] == 120
    assert provenance["command"] == "a test"
    assert provenance["training"]["ensemble"]["steps"] == 500
    assert provenance["versions"]["torch"] == torch.__version__


def test_a_dream_of_it_is_like_the_env(trained):
    """One step from each of four thousand places: where it leads, pays and ends."""
    dream = Dream(trained, 4000, obs="pixels", starts="any")
    before = dream.reset(seeds=range(4000)).observation
    push = np.random.default_rng(0).uniform(-1, 1, (4000, 1)).astype(np.float32)
    after = dream.step(push)
    expected = before[:, 0] + line_env.PUSH * push[:, 0]
    error = after.observation[:, 0] - expected
    assert abs(error.mean()) < 0.3 * line_env.NOISE
    assert error.std() == pytest.approx(line_env.NOISE, rel=0.25)
    np.testing.assert_allclose(after.observation[:, 1], push[:, 0], atol=0.2)
    assert np.abs(after.reward - after.observation[:, 0]).mean() < 0.1
    beyond = after.observation[:, 0] > line_env.GOAL
    assert beyond.sum() > 30
    # The env's rule, of what was dreamt; the model's chance, of endings that it samples.
    chance = after.info["termination_probability"]
    assert chance[after.observation[:, 0] > line_env.GOAL + 0.1].mean() > 0.6
    assert chance[after.observation[:, 0] < line_env.GOAL - 0.1].mean() < 0.02
    assert after.terminated.sum() == pytest.approx(beyond.sum(), rel=0.4)


def alone(package: Package, of: str, member: int, inputs: Tensor) -> Tensor:
    """What one member of a package says, from its weights."""
    weights, layer = package.weights, 0
    while f"{of}.weights.{layer}" in weights:
        inputs = F.silu(inputs) if layer else inputs
        inputs = inputs @ weights[f"{of}.weights.{layer}"][member]
        inputs = inputs + weights[f"{of}.biases.{layer}"][member]
        layer += 1
    return inputs


def test_measured_figures_and_trust_are_of_the_held_out_episodes(trained, unseen):
    """Computed again from the package's own numbers, member by member."""
    rows, w = Transitions.of(unseen), trained.weights
    s, after = ((o - w["mean"]) / w["scale"] for o in (rows.observation, rows.following))
    acted = torch.cat([s, rows.action], 1)
    means = torch.stack([alone(trained, "dynamics", i, acted)[:, :2] for i in range(3)]).numpy()
    unsure = np.sqrt(means.astype(np.float64).var(0).mean(-1))
    assert trained.config.trust is not None
    np.testing.assert_allclose(
        trained.config.trust.quantiles, np.quantile(unsure, np.linspace(0, 1, 101)), rtol=1e-3
    )
    assert trained.config.trust.unit == pytest.approx(np.quantile(unsure, 0.95), rel=1e-3)
    measured = trained.config.provenance["held_out"]
    target = ((after - s - w["change_mean"]) / w["change_scale"]).numpy()
    rmse = np.sqrt(np.square(means.mean(0) - target).mean())
    assert measured["change_rmse"] == pytest.approx(rmse, rel=1e-3)
    moved = s + torch.tensor(means.mean(0)) * w["change_scale"] + w["change_mean"]
    judged = torch.cat([acted, moved], 1)
    said = torch.stack([alone(trained, "outcome", i, judged)[:, :2] for i in range(3)])
    offset, scale = w["reward_scale"]
    low, high = w["reward_range"]
    reward = (said[..., 0] * scale + offset).clamp(low, high).mean(0)
    error = (reward - rows.reward).numpy()
    assert measured["reward_mae"] == pytest.approx(np.abs(error).mean(), rel=1e-3)
    assert measured["reward_bias"] == pytest.approx(error.mean(), rel=1e-2, abs=1e-5)
    assert measured["endings_actual"] == np.mean([e.terminated for e in unseen])
    # Endings are of the place that was drawn, beyond a bound that the data show.
    (side,) = trained.config.provenance["healthy_range"]
    assert (side["number"], side["sign"]) == (0, 1)
    assert side["bound"] == pytest.approx(line_env.GOAL, abs=0.02)
    drawn = rows.observation[:, 0] + line_env.PUSH * rows.action[:, 0]
    noise = torch.randn(50, len(drawn), generator=torch.Generator().manual_seed(0))
    drawn = drawn + line_env.NOISE * noise
    endings = float((drawn > side["bound"]).float().mean()) * len(rows) / len(unseen)
    assert measured["endings_predicted"] == pytest.approx(endings, rel=0.15)
    assert measured["endings_predicted"] == pytest.approx(measured["endings_actual"], rel=0.3)


def test_held_out_episodes_are_not_trained_on(data, tmp_path, monkeypatch):
    """They choose which weights are kept. What gradients made of them is in the checkpoint: that is
    the same if the held-out episodes were others."""
    rollouts = Rollouts.open(data)
    hidden = {id(e) for e in split(rollouts.episodes, 0.2)[1]}
    spoiled = [
        dataclasses.replace(e, frames=3 - 2 * e.frames, actions=-e.actions, rewards=e.rewards + 5)
        if id(e) in hidden
        else e
        for e in rollouts.episodes
    ]
    train_ensemble(data, tmp_path / "one", BRIEF)
    monkeypatch.setattr(Rollouts, "open", lambda paths: Rollouts(rollouts.manifests, spoiled))
    train_ensemble(data, tmp_path / "two", BRIEF)
    one, two = (
        load_checkpoint(tmp_path / f"{name}.training" / "ensemble.pt") for name in ("one", "two")
    )
    assert all(torch.equal(one["model"][name], two["model"][name]) for name in one["model"])
    packages = [load_package(tmp_path / name) for name in ("one", "two")]
    for name in ("mean", "scale", "change_mean", "change_scale", "reward_scale", "reward_range"):
        assert torch.equal(*(package.weights[name] for package in packages))
    assert packages[0].config.trust != packages[1].config.trust


@pytest.fixture
def held(monkeypatch) -> list[tuple[Transitions, Transitions]]:
    """What each fit saw, and what was held out."""
    seen: list[tuple[Transitions, Transitions]] = []
    fit = training.fit_ensemble

    def watched(model, data, held_out, *args, **keywords):
        seen.append((data, held_out))
        fit(model, data, held_out, *args, **keywords)

    monkeypatch.setattr("dreamenv.training.train_ensemble.fit_ensemble", watched)
    return seen


def test_of_few_episodes_decisions_are_held_out(few, tmp_path, held):
    train_ensemble(few, tmp_path / "out", BRIEF)
    everything = Transitions.of(Rollouts.open(few).episodes)
    kept, held_out = ([tuple(o) for o in part.observation.tolist()] for part in held[0])
    assert len(held_out) in {len(everything) // 5, len(everything) // 5 + 1}
    assert not set(kept) & set(held_out)
    assert sorted(kept + held_out) == sorted(tuple(o) for o in everything.observation.tolist())


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(0, 300), st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.9]))
def test_a_decision_once_trained_on_is_never_held_out(count, more, share):
    """As a loop's data grow, of which each round's model is trained on from the last one's."""
    chosen = picked(count, share)
    assert 1 <= int(chosen.sum()) < count
    every = max(2, round(1.0 / share))
    assert int(chosen.sum()) in {max(1, count // every), count // every + 1}
    later = picked(count + more, share)
    if count >= every:
        assert torch.equal(later[:count], chosen)


def test_what_a_model_was_trained_on_is_not_held_out_when_it_goes_on(few, data, tmp_path, held):
    """Five episodes, of which decisions were held out, are among the 125 it goes on with."""
    first = train_ensemble(few, tmp_path / "first", BRIEF)
    again = train_ensemble([few, data], tmp_path / "again", BRIEF, initial=first)
    (known, _), (_, held_out) = held
    rows = {tuple(row) for row in known.observation.tolist()}
    assert rows
    assert not rows & {tuple(row) for row in held_out.observation.tolist()}
    for package in (first, again):
        provenance = package.config.provenance
        assert provenance["held_out_by"] == "decisions"
        # Endings are counted in whole episodes, which this one was fitted on.
        assert set(provenance["held_out"]) == {"change_rmse", "reward_mae", "reward_bias"}


@pytest.mark.parametrize(
    ("episodes", "initial", "expected"),
    [
        (19, None, "decisions"),
        (20, None, "episodes"),
        (20, {"held_out_by": "decisions", "episodes": 30}, "decisions"),
        (40, {"held_out_by": "episodes", "episodes": 30}, "episodes"),
        (19, {"held_out_by": "episodes", "episodes": 30}, "decisions"),
        (40, {"episodes": 19}, "decisions"),  # of before it was written down
        (40, {"episodes": 20}, "episodes"),
    ],
)
def test_what_is_held_out_follows_from_episodes_and_the_model_before(episodes, initial, expected):
    assert held_out_by(episodes, initial) == expected


def test_the_horizon_is_the_real_envs_own(data, trained, tmp_path):
    assert trained.config.defaults.horizon == line_env.STEPS
    own = dataclasses.replace(BRIEF, defaults={"horizon": 7})
    assert train_ensemble(data, tmp_path / "own", own).config.defaults.horizon == 7


def test_data_that_never_ended_make_a_dream_that_never_ends(tmp_path):
    real = RealSpec(env_id="TestLine-v0", max_episode_steps=1)
    rollouts = collect(CollectConfig(real, tmp_path / "data", episodes=6, seed=3))
    assert not any(e.terminated for e in rollouts.episodes)
    package = train_ensemble(tmp_path / "data", tmp_path / "package", BRIEF)
    assert package.config.defaults.termination == "none"
    assert package.config.defaults.horizon == 1
    # A chance of one in seven or so, of the few decisions seen and one ending more, not one in two.
    said = training.endings_foretold(package.world_model(), Transitions.of(rollouts.episodes))
    assert float(said.mean()) < 0.3


def test_discrete_actions(tmp_path):
    real = RealSpec(env_id="TestLine-v0", kwargs={"discrete": True})
    collect(CollectConfig(real, tmp_path / "data", episodes=25, seed=3))
    config = dataclasses.replace(CONFIG, ensemble=EnsembleConfig(steps=200, batch=32))
    package = train_ensemble(tmp_path / "data", tmp_path / "package", config)
    assert (package.config.sizes["discrete"], package.config.sizes["action"]) == (1, 3)
    dream = Dream(package, 3, obs="pixels", temperature=0.0, propagation="mean")
    start = dream.reset(seeds=[1, 1, 1]).observation[:, 0]
    moved = dream.step(np.array([0, 1, 2])).observation[:, 0] - start
    np.testing.assert_allclose(moved, line_env.PUSH * np.array([-1, 0, 1]), atol=0.15)


def test_the_bank_holds_beginnings_and_nothing_that_was_over(data, trained):
    episodes = Rollouts.open(data).episodes
    model = trained.world_model()
    everything = vector_bank(model, episodes, 10**6, seed=0)
    assert everything["s"].dtype == torch.float16
    assert everything["first"].dtype == torch.uint8

    def numbers(frames: np.ndarray) -> list[tuple[float, ...]]:
        s = (torch.tensor(frames) - trained.weights["mean"]) / trained.weights["scale"]
        return sorted(map(tuple, s.half().tolist()))

    first = everything["first"].bool()
    assert numbers(np.stack([e.frames[0] for e in episodes])) == sorted(
        map(tuple, everything["s"][first].tolist())
    )
    alive = [e.frames[1 : len(e) + (not e.terminated)] for e in episodes]
    assert any(e.terminated for e in episodes)
    assert numbers(np.concatenate(alive)) == sorted(map(tuple, everything["s"][~first].tolist()))


@pytest.mark.parametrize("most", [1, 50, 120, 121, 300])
def test_the_bank_is_as_large_as_asked_for_beginnings_first(data, trained, most):
    episodes = Rollouts.open(data).episodes
    bank = vector_bank(trained.world_model(), episodes, most, seed=0)
    assert bank["s"].shape == (most, 2)
    assert int(bank["first"].sum()) == min(most, 120)
    again = vector_bank(trained.world_model(), episodes, most, seed=0)
    assert torch.equal(bank["s"], again["s"])


def test_training_goes_on_from_a_package(data, trained, tmp_path):
    """Not a step is taken: the members are the first package's, and so is what they say of endings;
    from nothing they would be others."""
    none = dataclasses.replace(CONFIG, ensemble=EnsembleConfig(steps=0))
    again = train_ensemble(data, tmp_path / "again", none, initial=trained)
    anew = train_ensemble(data, tmp_path / "anew", none)
    for name in ("dynamics.weights.0", "outcome.weights.0", "outcome.biases.2"):
        # Held-out data may put them in another order.
        own, found, other = (sorted(p.weights[name].tolist()) for p in (trained, again, anew))
        assert found == own
        assert other != own


class Killed(Exception):
    """Stands for a kill."""


def test_killed_training_goes_on_to_the_same_package(data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "FitConfig", functools.partial(FitConfig, checkpoint_seconds=0.0))
    config = dataclasses.replace(CONFIG, ensemble=EnsembleConfig(steps=70, batch=8))
    whole = train_ensemble(data, tmp_path / "whole", config)
    out = tmp_path / "killed"
    for at in (21, 61):

        def progress(stage, done, total, figures=None, at=at):
            if done == at:
                raise Killed

        with pytest.raises(Killed):
            train_ensemble(data, out, config, progress=progress)
        assert not out.exists()
    resumed = train_ensemble(data, out, config)
    assert resumed.identity == whole.identity
    assert resumed.config.trust == whole.config.trust


def test_checkpoints_of_other_data_or_settings_are_not_gone_on_with(data, few, tmp_path):
    out = tmp_path / "out"
    first = train_ensemble(data, out, BRIEF)
    assert train_ensemble(data, out, BRIEF).identity == first.identity
    for paths, config, message in (
        ([data, few], BRIEF, "data differs"),
        (data, dataclasses.replace(BRIEF, seed=9), "config differs"),
    ):
        with pytest.raises(DataError, match=rf"out\.training/training\.json: {message}"):
            train_ensemble(paths, out, config)
    with pytest.raises(DataError, match="initial differs"):
        train_ensemble(data, out, BRIEF, initial=first)
    assert load_package(out).identity == first.identity


def test_one_episode_is_too_few(tmp_path):
    collect(CollectConfig(line_env.REAL, tmp_path / "data", episodes=1))
    with pytest.raises(DataError, match="expected at least 2 episodes, got 1; collect more"):
        train_ensemble(tmp_path / "data", tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_data_that_the_family_cannot_model_are_refused(tmp_path):
    collect(CollectConfig(block_env.REAL, tmp_path / "frames", episodes=2))
    held = line_env.REAL.model_copy(update={"preprocessing": [HoldLastFrame()]})
    collect(CollectConfig(held, tmp_path / "held", episodes=2))
    for name, message in (
        ("frames", r"expected float32 vectors, .* got uint8 \(16, 16, 3\); the family mdnrnn"),
        ("held", "expected data without hold_last_frame"),
    ):
        with pytest.raises(DataError, match=message):
            train_ensemble(tmp_path / name, tmp_path / "out", BRIEF)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames", "held"]


def test_what_no_package_can_have_is_refused_before_any_training(
    data, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr("dreamenv.training.train_ensemble.fit_ensemble", None)
    one = SIZES | {"elites": 1}
    for changes, message in (
        ({"name": "a bad name!"}, "name"),
        ({"defaults": {"temprature": 1.0}}, "temprature"),
        ({"learn": {"algo": "es"}}, "algo"),
        ({"sizes": {"elites": 9}}, "sizes: elites: expected at most the 7 members, got 9"),
        ({"sizes": {"vae_base": 9}}, "sizes: .*vae_base"),
        ({"sizes": {"observation": 9}}, "sizes: .*observation"),
        ({"sizes": one, "defaults": {"trust_penalty": 1.0}}, "trust: expected quantiles"),
    ):
        with pytest.raises(DataError, match=message):
            train_ensemble(data, tmp_path / "out", dataclasses.replace(CONFIG, **changes))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(PackageError, match=r"thesis\.txt"):
        train_ensemble(data, tmp_path / "taken", CONFIG)
    wider = dataclasses.replace(CONFIG, sizes=SIZES | {"hidden": 40})
    with pytest.raises(DataError, match="initial: expected a package of sizes"):
        train_ensemble(data, tmp_path / "out", wider, initial=trained)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_trust_may_be_among_the_defaults(data, tmp_path):
    config = dataclasses.replace(BRIEF, defaults={"trust_penalty": 0.5, "trust_limit": 0.99})
    found = train_ensemble(data, tmp_path / "out", config).config
    assert (found.defaults.trust_penalty, found.defaults.trust_limit) == (0.5, 0.99)


def test_one_member_has_no_scale_of_trust(data, tmp_path):
    config = dataclasses.replace(BRIEF, sizes=SIZES | {"members": 1, "elites": 1})
    assert train_ensemble(data, tmp_path / "out", config).config.trust is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bank": 0}, "bank: expected at least 1, got 0"),
        ({"held_out": 0.0}, "held_out: expected a share between 0 and 1, got 0.0"),
        ({"held_out": 1.0}, "held_out: expected a share between 0 and 1, got 1.0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EnsembleTrainConfig(**settings)
