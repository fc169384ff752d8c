"""Trials at once are the trials one by one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from stable_baselines3 import PPO

from dreamenv.errors import DataError
from dreamenv.learn_defaults import LearnDefaults
from dreamenv.packages import load_package, save_package
from dreamenv.trial import TrialConfig, run_trial
from dreamenv.trials import run_trials


@pytest.fixture(scope="module")
def short(make_package, tmp_path_factory) -> Path:
    """A package whose real episodes last 6 decisions and whose recipe is done in a moment."""
    package = make_package()
    real = package.config.real.model_copy(update={"max_episode_steps": 6})
    steps = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "net_arch": [4]}
    learn = LearnDefaults(num_envs=2, timesteps=64, hyperparameters=steps)
    config = package.config.model_copy(update={"real": real, "learn": learn})
    folder = tmp_path_factory.mktemp("short") / "tiny"
    return save_package(dataclasses.replace(package, config=config), folder, "# tiny\n")


def scores(trial):
    return [dataclasses.replace(e, seconds=0.0) for e in (trial.dream, trial.real)]


def test_what_comes_of_a_trial_does_not_depend_on_how_many_run(short, tmp_path):
    configs = [
        TrialConfig(str(short), seed=seed, knobs={"temperature": 0.5}, episodes=3)
        for seed in (0, 1, 2)
    ]
    said, order = [], []
    together = run_trials(
        [(config, tmp_path / "together" / f"seed-{config.seed}") for config in configs],
        workers=2,
        progress=lambda stage, done, total, figures=None: said.append((stage, done, total)),
        finished=lambda number, trial: order.append((number, trial.seed)),
    )
    assert [trial.seed for trial in together] == [0, 1, 2]
    assert sorted(order) == [(0, 0), (1, 1), (2, 2)]
    for stage in ("learn", "dream", "real"):
        told = [(done, total) for name, done, total in said if name == f"together/seed-1: {stage}"]
        assert told
        assert told[-1][0] >= told[-1][1]
    threads = torch.get_num_threads()
    alone = run_trial(configs[1], tmp_path / "alone", workers=1)
    assert torch.get_num_threads() == threads
    assert scores(alone) == scores(together[1])
    learnt = [
        PPO.load(folder / "policy.zip", device="cpu").policy.state_dict()
        for folder in (tmp_path / "alone", tmp_path / "together" / "seed-1")
    ]
    assert all(torch.equal(learnt[0][name], learnt[1][name]) for name in learnt[0])
    # What is there is not done again.
    before = (tmp_path / "alone" / "real.json").stat().st_mtime_ns
    assert scores(run_trial(configs[1], tmp_path / "alone", workers=1)) == scores(alone)
    assert (tmp_path / "alone" / "real.json").stat().st_mtime_ns == before


def test_a_trial_that_fails_says_why_and_stops_the_others(short, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "trial.json").write_text(json.dumps({"seed": 9}))
    good = [(TrialConfig(str(short), seed=s, episodes=2), tmp_path / f"{s}") for s in range(3)]
    with pytest.raises(DataError, match=str(taken)):
        run_trials([(TrialConfig(str(short), episodes=2), taken), *good], workers=2)


def test_a_trial_stays_itself_while_what_it_was_learnt_from_does(short, tmp_path):
    """A recipe's new temperature leaves alone what was learnt at one that was asked for."""
    config = TrialConfig(str(short), knobs={"temperature": 0.5}, episodes=2)
    first = run_trial(config, tmp_path / "trial", workers=1)
    learnt = (tmp_path / "trial" / "policy.zip").read_bytes()

    def told(**change) -> TrialConfig:
        package = load_package(short)
        learn = LearnDefaults(**{**package.config.learn.model_dump(exclude_none=True), **change})
        again = package.config.model_copy(update={"learn": learn})
        folder = save_package(dataclasses.replace(package, config=again), tmp_path / "p", "")
        return dataclasses.replace(config, dream=str(folder))

    again = run_trial(told(dream={"temperature": 1.3}), tmp_path / "trial", workers=1)
    assert scores(again) == scores(first)
    assert (tmp_path / "trial" / "policy.zip").read_bytes() == learnt
    with pytest.raises(DataError, match="trial"):
        run_trial(told(num_envs=3), tmp_path / "trial", workers=1)
