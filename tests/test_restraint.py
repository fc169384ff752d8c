"""What stops a learner whose dream pays too much, or is unsure: both by packages made so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamenv.data.rollouts import Episode
from dreamenv.learn import learn
from dreamenv.packages import save_package
from dreamenv.recipes import Recipe
from dreamenv.restraint import Restraint
from dreamenv.rounds import best_pace

LANES, WINDOW = 4, 10
PPO = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "net_arch": [4]}
SAC = {"learning_starts": 8, "batch_size": 8, "gradient_steps": 1, "net_arch": [4]}


def episode(rewards: Sequence[float]) -> Episode:
    return Episode(
        frames=np.zeros((len(rewards) + 1, 1), np.float32),
        actions=np.zeros((len(rewards), 1), np.float32),
        rewards=np.asarray(rewards, np.float32),
        terminated=False,
        truncated=True,
        seed=0,
        policy="random",
        real_steps=len(rewards),
    )


rewards = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12)


@given(st.lists(rewards, min_size=1, max_size=4), st.integers(1, 15))
def test_the_best_pace_is_that_of_the_best_stretch(paid, window):
    length = min(window, max(map(len, paid)))
    stretches = [r[start : start + length] for r in paid for start in range(len(r) - length + 1)]
    expected = max(float(np.mean(np.float64(s))) for s in stretches)
    assert best_pace([episode(r) for r in paid], window) == pytest.approx(expected, abs=1e-9)


@given(st.floats(-1e6, 1e6), st.floats(0.01, 1000))
def test_the_bound_is_as_far_above_what_is_negative(best, pace):
    highest = Restraint(pace=pace).highest(best)
    assert highest == pytest.approx(best * (pace if best > 0 else 2 - pace), abs=1e-6)
    assert (highest >= best) == (pace >= 1 or best == 0)


def test_no_bound_on_the_pace():
    assert Restraint(pace=None).highest(3.0) == float("inf")


@pytest.fixture(scope="module")
def known(make_unsure_package, tmp_path_factory):
    """A dream that pays 0.9 a decision, never ends of itself, and whose elites differ by the same
    everywhere: their means are 0, 0 and 3 scales of change, so √2 of one, which is 0.5 units."""
    package = make_unsure_package(ending_logit=-30.0)
    weights = {name: tensor.clone() for name, tensor in package.weights.items()}
    for part in ("dynamics", "outcome"):
        last = max(int(n.split(".")[-1]) for n in weights if n.startswith(f"{part}.weights."))
        weights[f"{part}.weights.{last}"].zero_()
    weights[f"outcome.biases.{last}"][..., 0] = 0.9
    dynamics = max(int(n.split(".")[-1]) for n in weights if n.startswith("dynamics.biases."))
    weights[f"dynamics.biases.{dynamics}"].zero_()
    weights[f"dynamics.biases.{dynamics}"][2, :, :4] = 3.0
    trust = type(package.config.trust)(
        quantiles=np.interp(np.arange(101), [0, 95, 100], [0, 2 * 2**0.5, 3]).tolist()
    )
    config = package.config.model_copy(update={"trust": trust})
    folder = tmp_path_factory.mktemp("known") / "known"
    return save_package(dataclasses.replace(package, config=config, weights=weights), folder, "")


def stopped(package, tmp_path, restraint: Restraint, best_real: float, **more):
    """What stopped it, and after how many decisions of each lane."""
    settings = {"algo": "ppo", "hyperparameters": PPO} | more
    learned = learn(
        package,
        out=tmp_path / "policy.zip",
        timesteps=LANES * 64,
        num_envs=LANES,
        restraint=restraint,
        best_real=best_real,
        **settings,
    )
    assert learned.path.exists()  # stopped or not, there is a policy
    return learned.stopped, learned.timesteps // LANES


WAYS = {
    "on-policy": {},
    "scaled rewards": {"hyperparameters": PPO | {"normalize_reward": True}},
    "off-policy": {"algo": "sac", "hyperparameters": SAC},
    "off-policy, scaled": {"algo": "sac", "hyperparameters": SAC | {"normalize_reward": True}},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_pays_more_than_anything_real_stops_it_within_a_window(known, tmp_path, way):
    said, steps = stopped(known, tmp_path, Restraint(window=WINDOW), 0.8, **WAYS[way])
    assert steps == WINDOW
    assert said == ("the dream paid 0.9 a decision, beyond the 0.84 that real episodes vouch for")


@pytest.mark.parametrize("way", WAYS)
def test_what_pays_as_real_episodes_do_does_not(known, tmp_path, way):
    assert stopped(known, tmp_path, Restraint(window=WINDOW), 0.88, **WAYS[way]) == (None, 64)


def test_uncertainty_stops_it_beyond_the_bound_alone(known, tmp_path):
    for unsure, expected in ((0.51, (None, 64)), (0.49, WINDOW)):
        restraint = Restraint(window=WINDOW, pace=None, unsure=unsure)
        found = stopped(known, tmp_path, restraint, -100.0)
        if expected == WINDOW:
            assert found == ("the model's uncertainty was 0.5 on average, beyond 0.49", WINDOW)
        else:
            assert found == expected


def test_a_bound_on_what_is_not_told_is_refused(known, tiny_package, tmp_path):
    unsure = Restraint(unsure=1.0)
    for package, knobs in ((tiny_package, {}), (known, {"uncertainty": False})):
        with pytest.raises(
            ValueError, match=r"restraint: unsure: expected None, got 1\.0: .* tell"
        ):
            learn(package, out=tmp_path / "p.zip", knobs=knobs, restraint=unsure, num_envs=2)
    assert not list(tmp_path.iterdir())


def test_evolution_takes_no_restraint(known, tmp_path):
    for more in ({"restraint": Restraint()}, {"initial": tmp_path / "p.zip"}):
        with pytest.raises(ValueError, match="cma: expected neither initial nor restraint"):
            learn(known, out=tmp_path / "new.zip", algo="cma", **more)
    for more in ({"restraint": {}}, {"keep_policy": True}):
        with pytest.raises(ValueError, match="cma: expected neither keep_policy nor restraint"):
            Recipe.model_validate({"learn": {"algo": "cma"}, **more})


def test_the_policy_that_is_kept_acts(known, tmp_path):
    """Nothing was learnt of the window that went too far: it is the untrained one."""
    from stable_baselines3 import PPO as Algorithm

    stopped(known, tmp_path, Restraint(window=WINDOW), 0.0, seed=5)
    kept = Algorithm.load(tmp_path / "policy.zip", device="cpu").policy.state_dict()
    stopped(known, tmp_path, Restraint(window=1), 0.0, seed=5)
    sooner = Algorithm.load(tmp_path / "policy.zip", device="cpu").policy.state_dict()
    assert all(torch.equal(kept[name], sooner[name]) for name in kept)
