"""Evaluation: the figures are those of the episodes, and an episode is that of its seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import stable_baselines3
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv import evaluate as module
from dreamenv.errors import PackageError, PolicyError
from dreamenv.evaluate import evaluate, evaluation_seeds
from dreamenv.learn import learn
from dreamenv.make import make_env
from dreamenv.packages import save_package
from dreamenv.real import make_real

SMALL = {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "net_arch": [8]}


@pytest.fixture(scope="module")
def policy(tiny_package, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("policy") / "policy.zip"
    settings = dict(timesteps=16, num_envs=2, hyperparameters=SMALL)
    return learn(tiny_package, out=out, **settings).path


@pytest.fixture(scope="module")
def short_package(make_package, tmp_path_factory) -> Path:
    """The tiny package, whose real env ends after 3 decisions."""
    package = make_package()
    real = package.config.real.model_copy(update={"max_episode_steps": 3})
    config = package.config.model_copy(update={"real": real})
    path = tmp_path_factory.mktemp("short") / "tiny"
    return save_package(dataclasses.replace(package, config=config), path, "")


def random_action(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1.0, 1.0, 3).astype(np.float32)


def play(env, seed: int, act) -> tuple[float, int]:
    """One episode, in the plainest way."""
    observation, _ = env.reset(seed=seed)
    rng, total, length, over = np.random.default_rng(seed), 0.0, 0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(act(observation, rng))
        total, length, over = total + reward, length + 1, terminated or truncated
    env.close()
    return total, length


@pytest.mark.parametrize("who", ["random", "policy"])
def test_in_the_dream_each_episode_is_that_of_its_seed(tiny_package, policy, who):
    """Oracle: single envs, one a seed."""
    shown = []
    result = evaluate(
        policy if who == "policy" else "random",
        tiny_package,
        on="dream",
        episodes=7,
        seed=2,
        deterministic=True,
        progress=lambda *call: shown.append(call),
    )
    assert result.seeds == list(evaluation_seeds(2, 7))
    model = stable_baselines3.PPO.load(policy, device="cpu")
    for seed, total, length in zip(result.seeds, result.returns, result.lengths, strict=True):

        def act(observation, rng):
            if who == "random":
                return random_action(rng)
            return model.predict(observation, deterministic=True)[0]

        expected = play(make_env(str(tiny_package)), seed, act)
        assert (total, length) == (pytest.approx(expected[0], rel=1e-4, abs=1e-4), expected[1])
    assert len(set(result.lengths)) > 1  # some were ended by the model, at different times
    assert max(result.lengths) <= 20
    assert (result.on, result.real_steps) == ("dream", 0)
    assert shown[-1] == ("dream", 7, 7)


@pytest.mark.parametrize("who", ["random", "policy"])
def test_the_batch_makes_no_difference(tiny_package, policy, monkeypatch, who):
    source = policy if who == "policy" else "random"
    arguments = dict(on="dream", seed=1, deterministic=True)
    together = evaluate(source, tiny_package, episodes=7, **arguments)
    fewer = evaluate(source, tiny_package, episodes=4, **arguments)
    monkeypatch.setattr(module, "LANES", 3)
    apart = evaluate(source, tiny_package, episodes=7, **arguments)
    assert apart.returns == pytest.approx(together.returns, rel=1e-4, abs=1e-4)
    assert apart.lengths == together.lengths
    assert apart.seeds == together.seeds
    assert fewer.returns == pytest.approx(together.returns[:4], rel=1e-4, abs=1e-4)


def test_seeds_decide(tiny_package, policy):
    arguments = dict(on="dream", episodes=6, deterministic=False)
    one, again, other = (evaluate(policy, tiny_package, seed=s, **arguments) for s in (1, 1, 2))
    assert one.returns == again.returns
    assert one.lengths == again.lengths
    assert one.returns != other.returns
    mode = evaluate(policy, tiny_package, on="dream", episodes=6, seed=1, deterministic=True)
    assert mode.returns != one.returns


def test_the_figures_are_those_of_the_returns(tiny_package):
    result = evaluate("random", tiny_package, on="dream", episodes=30)
    returns = np.array(result.returns)
    assert result.mean == pytest.approx(returns.mean())
    assert result.std == pytest.approx(returns.std(ddof=1))
    half = 1.96 * result.std / np.sqrt(30)  # the normal interval; the bootstrap's is close to it
    assert result.low == pytest.approx(result.mean - half, abs=0.3 * half)
    assert result.high == pytest.approx(result.mean + half, abs=0.3 * half)
    assert json.loads(json.dumps(result.to_json()))["returns"] == result.returns
    one = evaluate("random", tiny_package, on="dream", episodes=1)
    assert (one.mean, one.low, one.high, one.std) == (*[result.returns[0]] * 3, 0.0)


def test_knobs_are_the_dreams(tiny_package):
    arguments = dict(on="dream", episodes=8)
    short = evaluate(
        "random", tiny_package, knobs={"horizon": 4, "termination": "none"}, **arguments
    )
    assert short.lengths == [4] * 8
    plain, hot = (
        evaluate("random", tiny_package, knobs=knobs, **arguments).returns
        for knobs in (None, {"temperature": 1.5})
    )
    assert plain != hot
    with pytest.raises(ValueError, match="temperature"):
        evaluate("random", tiny_package, knobs={"temperature": -1}, **arguments)
    with pytest.raises(ValueError, match=r"knobs: the real env has none, got \['temperature'\]"):
        evaluate("random", tiny_package, on="real", knobs={"temperature": 1.0})


def test_discrete_actions(tiny_discrete_package):
    result = evaluate("random", tiny_discrete_package, on="dream", episodes=3)
    for seed, total in zip(result.seeds, result.returns, strict=True):
        env = make_env(str(tiny_discrete_package))
        expected, _ = play(env, seed, lambda _, rng: int(rng.integers(5)))
        assert total == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_policy_sees_what_it_was_trained_on(tiny_package, tmp_path):
    """Pixels and latents: told from the policy, not asked for again."""
    for kind, observations in (("pixels", (3, 48, 48)), ("latent", (4,))):
        learned = learn(
            tiny_package,
            out=tmp_path / kind,
            timesteps=4,
            num_envs=2,
            knobs={"obs": kind},
            hyperparameters={"n_steps": 2, "batch_size": 4, "n_epochs": 1, "net_arch": [4]},
        )
        model = stable_baselines3.PPO.load(learned.path, device="cpu")
        assert model.observation_space.shape == observations
        result = evaluate(learned.path, tiny_package, on="dream", episodes=2, deterministic=True)
        env = make_env(str(tiny_package), obs=kind)
        expected, length = play(
            env, result.seeds[0], lambda o, _, m=model: m.predict(o, deterministic=True)[0]
        )
        assert result.lengths[0] == length
        assert result.returns[0] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_on_the_real_env_workers_make_no_difference(short_package, policy):
    """Oracle: ``make_real``, a fresh one an episode."""
    arguments = dict(on="real", episodes=3, seed=5, deterministic=False)
    threads = torch.get_num_threads()
    one = evaluate(policy, short_package, workers=1, **arguments)
    assert torch.get_num_threads() == threads
    shown = []
    two = evaluate(
        policy, short_package, workers=2, progress=lambda *call: shown.append(call), **arguments
    )
    assert one.returns == two.returns
    assert one.lengths == two.lengths == [3, 3, 3]
    assert one.real_steps == two.real_steps == 3 * 3 * 4
    assert [call[:3] for call in shown] == [("real", n, 3) for n in (1, 2, 3)]
    assert shown[-1][3]["real return"] == pytest.approx(two.mean)
    random = evaluate("random", short_package, on="real", episodes=2, seed=5)
    for seed, total in zip(random.seeds, random.returns, strict=True):
        expected, _ = play(make_real(short_package), seed, lambda _, rng: random_action(rng))
        assert total == pytest.approx(expected)


@settings(deadline=None)
@given(st.integers(0, 2**20 - 1), st.integers(0, 2**20 - 1), st.integers(1, 300))
def test_seeds_are_nobody_elses(first, second, episodes):
    """Not another evaluation's, and not of collected data, whose seeds have 31 bits."""
    seeds = evaluation_seeds(first, episodes)
    assert len(set(seeds)) == episodes
    assert min(seeds) >= 2**31
    assert evaluation_seeds(first, 10**6)[-1] < 2**63
    ends = [
        (evaluation_seeds(s, 10**6)[0], evaluation_seeds(s, 10**6)[-1]) for s in (first, second)
    ]
    if first != second:
        (low, below), (above, _) = sorted(ends)
        assert low < below < above


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"on": "track"}, ValueError, 'on: expected "dream" or "real", got \'track\''),
        ({"episodes": 0}, ValueError, "1 to 1,000,000 episodes, got seed 0 and 0 episodes"),
        ({"seed": -1}, ValueError, "expected 0 ≤ seed"),
        ({"seed": 2**20}, ValueError, "expected 0 ≤ seed"),
        ({"on": "real", "workers": 0}, ValueError, "workers: expected at least 1, got 0"),
        ({"policy": "none.zip"}, PolicyError, "none.zip: expected a policy"),
        ({"policy": "none.zip", "on": "real", "workers": 2}, PolicyError, "none.zip: expected"),
        ({"dream": "Dream-Nothing-v0"}, PackageError, "Dream-Nothing-v0"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(tiny_package, arguments, error, message):
    given = {"policy": "random", "dream": tiny_package, "on": "dream"} | arguments
    with pytest.raises(error, match=message):
        evaluate(given.pop("policy"), given.pop("dream"), **given)


def test_another_dreams_policy_is_refused(policy, tiny_discrete_package, make_package, tmp_path):
    package = make_package()
    config = package.config.model_copy(update={"latent_bound": 4.0})
    sizes = config.sizes | {"latent_bound": 4.0}
    config = config.model_copy(update={"sizes": sizes})
    other = save_package(dataclasses.replace(package, config=config), tmp_path / "other", "")
    with pytest.raises(PolicyError, match="is it another dream's"):
        evaluate(policy, other, on="dream", episodes=2)
    with pytest.raises(PolicyError, match="is it another dream's"):
        evaluate(policy, tiny_discrete_package, on="dream", episodes=2)


def test_a_packages_own_penalty_is_for_learners(make_unsure_package, tmp_path):
    """Scores are what the model says is paid, unless a penalty is asked for."""
    plain, charging = (
        save_package(make_unsure_package(defaults=defaults), tmp_path / name, "")
        for name, defaults in (("plain", {}), ("charging", {"trust_penalty": 2.0}))
    )
    asked = dict(on="dream", episodes=6, seed=3)
    paid = evaluate("random", plain, **asked).returns
    assert evaluate("random", charging, **asked).returns == paid
    penalty = {"trust_penalty": 2.0}
    charged = [evaluate("random", p, **asked, knobs=penalty).returns for p in (plain, charging)]
    assert charged[0] == charged[1]
    assert all(less < whole for less, whole in zip(charged[0], paid, strict=True))
