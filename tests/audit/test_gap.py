"""Whole audits, of a model that believes every action is paid 1."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from dreamenv.audit import audit
from dreamenv.audit.episodes import AuditConfig
from dreamenv.config import DiscreteAction, DreamDefaults, PackageConfig
from dreamenv.data.collect import CollectConfig, collect
from dreamenv.errors import DataError, PackageError, PolicyError
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.packages import Package, load_package, save_package
from dreamenv.real_specs import real_horizon

_spec = importlib.util.spec_from_file_location(
    "paying_env", Path(__file__).with_name("paying_env.py")
)
paying_env = sys.modules["paying_env"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(paying_env)

STEPS = paying_env.STEPS


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    sizes = MDNRNNSizes(
        height=16, width=16, vae_base=2, latent=3, hidden=4, mixtures=2, action=3, discrete=1,
        head=4, reward_bins=3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MDNRNN(sizes)
    weights = model.state_dict()
    weights["outcome.2.weight"] = torch.zeros_like(weights["outcome.2.weight"])
    # Reward bins -1, 0, 1: the last is certain; endings are all but impossible.
    weights["outcome.2.bias"] = torch.tensor([-30.0, -30.0, 30.0, -20.0])
    starts = {n: torch.zeros(2, s).half() for n, s in {"z": 3, "h": 4, "c": 4}.items()}
    made = Package(
        config=PackageConfig(
            name="Dream-Paying",
            family="mdnrnn",
            sizes=asdict(sizes),
            observation_shape=[16, 16, 3],
            action=DiscreteAction(n=3),
            latent=3,
            features=7,
            latent_bound=sizes.latent_bound,
            real=paying_env.SPEC,
            # An audit plays as long as real episodes last, whatever the learner's horizon.
            defaults=DreamDefaults(horizon=7, starts="any"),
        ),
        weights=weights,
        starts=starts | {"first": torch.ones(2, dtype=torch.uint8)},
    )
    return save_package(made, tmp_path_factory.mktemp("package") / "paying", "card")


class _Spaces(gym.Env[Any, Any]):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space, self.action_space = observation_space, action_space


@pytest.fixture(scope="module")
def policy_of(package, tmp_path_factory):
    """A policy that always takes one action, as an SB3 file."""

    def make(action: int, features: int = 7) -> Path:
        config = load_package(package).config
        seen = gym.spaces.Box(-config.latent_bound, config.latent_bound, (features,), np.float32)
        env = _Spaces(seen, config.action.space())
        model = PPO("MlpPolicy", env, n_steps=2, batch_size=2, device="cpu")
        with torch.no_grad():
            model.policy.action_net.weight.zero_()
            model.policy.action_net.bias.copy_(20.0 * torch.eye(3)[action])
        path = tmp_path_factory.mktemp("policy") / f"takes-{action}.zip"
        model.save(path)
        return path

    return make


@pytest.fixture(scope="module")
def exploiting(package, policy_of, tmp_path_factory):
    """The policy takes action 1, for which the real env pays nothing."""
    out = tmp_path_factory.mktemp("exploited") / "audit"
    calls: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int, figures: Any = None) -> None:
        calls.append((stage, done, total))

    report = audit(
        package, policy=policy_of(1), out=out, episodes=4, quick=True, seed=3, progress=progress
    )
    return report, out, calls


def test_an_exploited_dream_is_shown_for_what_it_is(exploiting):
    report, _, _ = exploiting
    assert report.verdict.word == "exploited"
    assert "dream says 24, real says 0" in report.verdict.sentence
    returns = report.findings.policy.returns
    assert returns.dream.values == pytest.approx([STEPS] * 64)
    assert returns.real.values == [0.0] * 4
    lengths = report.findings.policy.lengths
    assert set(lengths.dream.values) == set(lengths.real.values) == {STEPS}
    # The random policy is paid a third in the real env, everything in the dream.
    random = report.findings.random.returns
    assert 0 < random.real.mean.value < STEPS
    assert random.dream.mean.value == pytest.approx(STEPS)
    failed = {c.name for c in report.checks if c.passed is False}
    assert {"Return, dream against real", "Random play, dream against real"} <= failed
    assert report.findings.reward.fed_by_policy["takes-1.zip"].bias.value == pytest.approx(1.0)


def test_a_policy_whose_pay_is_real_is_not_flagged(package, policy_of, tmp_path):
    asked = dict(policy=policy_of(0), episodes=4, quick=True)
    report = audit(package, out=tmp_path / "audit", within=3, **asked)
    assert report.verdict.word == "honest"
    assert report.findings.within.steps == 3
    assert report.findings.policy.returns.real.values == [float(STEPS)] * 4
    assert report.findings.reward.fed_by_policy["takes-0.zip"].bias.value == pytest.approx(0.0)


def test_the_folder_holds_json_page_and_figures(exploiting):
    report, out, _ = exploiting
    # No real episode ended: there is no reliability curve to draw.
    figures = ["frames", "open_loop", "parting", "returns", "reward"]
    names = ["audit.json", "index.html", *(f"{name}.png" for name in figures)]
    assert {p.name for p in out.iterdir()} == set(names)
    assert sorted(p.name for p in out.parent.iterdir()) == ["audit"]
    found = json.loads((out / "audit.json").read_text())
    assert found == report.to_json()
    assert found["verdict"]["word"] == "exploited"
    assert found["findings"]["termination"]["calibration"] is None
    assert "Too few endings to say: 0" in found["findings"]["termination"]["words"]
    # NaN is no JSON: no correlation with a constant.
    assert found["findings"]["reward"]["fed"]["correlation"]["value"] is None
    assert len(found["findings"]["open_loop"]["curves"]["pixels"]["mean"]["value"]) == 50
    for path in out.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    page = (out / "index.html").read_text()
    assert "dream says 24, real says 0" in page
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page


def test_real_steps_and_seeds_are_counted(exploiting):
    report, _, calls = exploiting
    assert (report.real_steps.policy, report.real_steps.random) == (4 * STEPS, 4 * STEPS)
    assert report.horizon == STEPS
    seeds = report.seeds
    assert len(set(seeds["policy"] + seeds["random"])) == 8
    assert set(seeds["held_out"]) == set(seeds["policy"] + seeds["random"])
    last = {stage: (done, total) for stage, done, total in calls}
    assert all(done == total for done, total in last.values())
    assert set(last) == {
        "dream",
        "dream, random",
        "real",
        "real, random",
        "filter",
        "open loop",
        "endings ahead",
    }


def test_the_same_seed_is_the_same_audit(package, tmp_path, exploiting):
    found = [
        audit(package, out=tmp_path / name, episodes=2, quick=True, seed=5).to_json()
        for name in ("a", "b")
    ]
    assert found[0] == found[1]
    for name in ("returns.png", "index.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    another_seed, _, _ = exploiting
    assert not set(found[0]["seeds"]["random"]) & set(another_seed.seeds["random"])
    assert found[0]["policy"] == "random"
    assert found[0]["findings"]["policy"] == found[0]["findings"]["random"]


def test_given_data_are_what_predictions_are_held_against(package, tmp_path):
    data = tmp_path / "data"
    rollouts = collect(CollectConfig(real=paying_env.SPEC, out=data, episodes=3, seed=9))
    left = tmp_path / ".audit-rollouts-of-one-killed"
    left.mkdir()
    (left / ".lock").write_text("")
    report = audit(package, data=data, out=tmp_path / "audit", episodes=2, quick=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audit", "data"]
    assert report.seeds["held_out"] == [e.seed for e in rollouts.episodes]
    assert report.findings.reward.decisions == 3 * STEPS
    best = max(float(e.rewards.sum()) for e in rollouts.episodes)
    assert report.findings.policy.ceiling.best_real_return >= best


def refused(tmp_path, error, match, **arguments):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=match):
        audit(**({"out": tmp_path / "audit", "episodes": 2, "quick": True} | arguments))
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_is_refused_and_leaves_nothing(package, policy_of, tmp_path):
    refused(tmp_path, PackageError, "nowhere", dream=tmp_path / "nowhere")
    refused(tmp_path, DataError, "manifest", dream=package, data=tmp_path)
    refused(tmp_path, ValueError, "episodes: expected at least 2", dream=package, episodes=1)
    refused(tmp_path, PolicyError, "is it another dream's", dream=package, policy=policy_of(0, 9))
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "notes.txt").write_text("mine")
    refused(tmp_path, DataError, r"found notes\.txt", dream=package)


def test_data_of_another_real_env_are_refused(package, tmp_path):
    other = paying_env.SPEC.model_copy(update={"max_episode_steps": 3})
    collect(CollectConfig(real=other, out=tmp_path / "data", episodes=2))
    refused(tmp_path, DataError, "real: expected", dream=package, data=tmp_path / "data")


def test_the_real_horizon_is_counted_in_decisions(package):
    config = load_package(package).config
    assert real_horizon(config.real) == STEPS
    own = config.model_copy(
        update={"real": config.real.model_copy(update={"max_episode_steps": 11})}
    )
    assert real_horizon(own.real) == 11
    car = config.model_copy(
        update={"real": config.real.model_copy(update={"env_id": "CarRacing-v3"})}
    )
    assert real_horizon(car.real) == 1000


def test_a_policy_is_played_in_the_dream_it_learnt_in(package, policy_of, tmp_path):
    # The package's dreams all but never end; with its logit of -20 divided by 100, they soon do.
    knobs = {"termination": "sample", "termination_temperature": 100.0}
    arguments = dict(policy=policy_of(0), episodes=4, quick=True)
    report = audit(package, out=tmp_path / "audit", knobs=knobs, **arguments)
    lengths = report.findings.policy.lengths
    assert max(lengths.dream.values) < STEPS
    assert set(lengths.real.values) == {STEPS}
    assert report.findings.parting.ended_dream == pytest.approx(1000 / (1 + np.exp(0.2)), rel=0.25)
    assert report.findings.parting.ended_real == 0.0
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["settings"]["knobs"] == knobs
    for wrong, message in ({"horizon": 5}, "leave it out"), ({"noise": 1}, "unknown knobs"):
        with pytest.raises(ValueError, match=message):
            audit(package, out=tmp_path / "refused", knobs=wrong, **arguments)
    assert not (tmp_path / "refused").exists()


def test_settings_out_of_range_are_named(package, tmp_path):
    with pytest.raises(ValueError, match="within: expected at least 1, got 0"):
        audit(package, out=tmp_path / "audit", within=0)
    with pytest.raises(ValueError, match="samples: expected at least 1, got 0"):
        replace(AuditConfig(), samples=0)
