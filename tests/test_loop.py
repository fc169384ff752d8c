"""The loop: counts every real step, and killed anywhere it ends where an uninterrupted run does."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import dreamenv
from dreamenv.config import RealSpec
from dreamenv.data.policies import load_policy
from dreamenv.data.rollouts import Rollouts
from dreamenv.errors import DataError
from dreamenv.evaluate import evaluate
from dreamenv.loop import LoopConfig, loop
from dreamenv.packages import load_config, load_package
from dreamenv.recipes import FirstData, NextData, Recipe
from dreamenv.restraint import Restraint

SCRIPT = Path(__file__).parent / "training" / "block_env.py"
ROUNDS = 2


def run(out: Path, *arguments: str) -> tuple[int, list[str]]:
    """The loop of ``block_env.py`` in a process of its own: exit status and lines of progress."""
    process = subprocess.run(
        [sys.executable, str(SCRIPT), str(out), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    if process.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(process.stderr)
    return process.returncode, process.stdout.splitlines()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A loop that nobody killed."""
    out = tmp_path_factory.mktemp("whole") / "loop"
    status, lines = run(out)
    assert status == 0
    assert lines[0] == "round 0: collect:0"
    return out


@pytest.fixture(autouse=True)
def block_env(monkeypatch):
    """The script, whose env is then registered in this process too."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("block_env")


def test_it_leaves_the_last_rounds_policy_and_package(whole):
    curve = json.loads((whole / "curve.json").read_text())
    assert [point["round"] for point in curve] == list(range(ROUNDS))
    last = whole / f"round-{ROUNDS - 1:02d}"
    assert (whole / "policy.zip").read_bytes() == (last / "policy.zip").read_bytes()
    package, fitted = load_package(whole / "package"), load_package(last / "package")
    assert all(torch.equal(package.weights[n], fitted.weights[n]) for n in fitted.weights)
    assert package.config.provenance["curve"] == curve
    assert package.config.name == "block"
    assert "dreamenv loop TestBlock-v0" in package.config.provenance["command"]
    card = (whole / "package" / "README.md").read_text()
    assert all(f"| {p['round']} | {p['real_steps']:,} |" in card for p in curve)
    assert load_policy(whole / "policy.zip").observation_space.shape == (26,)
    strays = [p.name for p in whole.rglob("*") if "partial" in p.name]
    assert not strays


def test_every_real_step_is_counted_once_and_evaluation_apart(whole):
    curve = json.loads((whole / "curve.json").read_text())
    used = evaluated = 0
    for point in curve:
        folder = whole / f"round-{point['round']:02d}"
        rollouts = Rollouts.open(folder / "data")
        # One decision is one frame here, so the arrays on the disk say how many there were.
        used += sum(len(e.frames) - 1 for e in rollouts.episodes)
        assert point["real_steps"] == used <= 240
        scores = json.loads((folder / "evaluation.json").read_text())
        evaluated += sum(scores["real"]["lengths"])
        assert point["evaluation_steps"] == evaluated
        assert scores["dream"]["real_steps"] == 0
        assert (len(scores["dream"]["returns"]), len(scores["real"]["returns"])) == (10, 2)
        for on in ("dream", "real"):
            assert point[f"{on}_return"]["mean"] == pytest.approx(np.mean(scores[on]["returns"]))
        collected = [e.rewards.sum(dtype=np.float64) for e in rollouts.episodes]
        assert point["collected_return"] == pytest.approx(np.mean(collected))
        provenance = load_config(folder / "package").provenance
        assert provenance["real_steps"] == used
        assert provenance["held_out"] == point["held_out"]
        # No track that is reported was learned from.
        assert not {e.seed for e in rollouts.episodes} & set(scores["real"]["seeds"])
        assert max(e.seed for e in rollouts.episodes) < 2**31 <= min(scores["real"]["seeds"])


def test_later_data_are_the_last_policys(whole):
    manifests = [
        Rollouts.open(whole / f"round-{number:02d}" / "data").manifests[0] for number in range(2)
    ]
    assert [m.policy for m in manifests] == ["random", "policy.zip"]
    assert [m.episodes for m in manifests] == [10, 8]
    assert manifests[1].source["dream"] == load_package(whole / "round-00" / "package").identity
    assert (manifests[0].source["hold"], manifests[1].source["noise"]) == (3, 0.5)
    assert manifests[0].source["seed"] != manifests[1].source["seed"]


def test_the_reported_return_is_the_policys(whole, block_env):
    """Evaluated again here, on the same episodes of the same real env."""
    assert load_config(whole / "package").real == block_env.REAL
    scores = json.loads((whole / "round-01" / "evaluation.json").read_text())
    again = evaluate(whole / "policy.zip", whole / "package", on="real", episodes=2, seed=1001)
    assert again.seeds == scores["real"]["seeds"]
    assert again.returns == pytest.approx(scores["real"]["returns"], abs=1e-6)


KILLS = ["round 0: collect:4", "round 0: vae:1", "round 0: learn:128", "round 1: real:1"]


def test_killed_again_and_again_it_ends_the_same(whole, tmp_path):
    """kill -9 while it collects, fits, learns and evaluates; each time the same call goes on."""
    out = tmp_path / "loop"
    for moment in KILLS:
        workers = "2" if "real" in moment else "1"
        status, lines = run(out, "--kill-at", moment, "--workers", workers)
        assert status == -signal.SIGKILL
        steps = [line for line in lines if not line.startswith("child")]
        assert steps[-1] == moment
        children = [line.split()[1] for line in lines if line.startswith("child")]
        assert len(children) == (2 if workers == "2" else 0)
        patience = time.monotonic() + 60
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < patience, "an evaluating worker outlived the loop"
            time.sleep(0.05)
    status, lines = run(out)
    assert status == 0
    assert not [line for line in lines if line.startswith("round 0: vae")]  # not done again
    assert (out / "curve.json").read_text() == (whole / "curve.json").read_text()
    for name in ("package", "round-00/package", "round-01/package"):
        for file in ("model.safetensors", "start_states.safetensors"):
            one, other = load_file(whole / name / file), load_file(out / name / file)
            assert all(torch.equal(one[n], other[n]) for n in one)
    one, other = (load_policy(f / "policy.zip").policy.state_dict() for f in (whole, out))
    assert all(torch.equal(one[n], other[n]) for n in one)
    strays = [p.name for p in out.rglob("*") if "partial" in p.name]
    assert not strays


def config_of(out: Path, **changes: object) -> LoopConfig:
    recipe = Recipe(first=FirstData(episodes=8), next=NextData(episodes=8), audit=False)
    real = RealSpec(env_id="TestBlock-v0", max_episode_steps=12)
    return LoopConfig(**({"real": real, "out": out, "real_steps": 200, "recipe": recipe} | changes))


def test_a_finished_loop_does_nothing_again(whole, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in sorted((whole / "round-01").rglob("*"))}
    status, lines = run(whole)
    assert status == 0
    assert not lines
    assert {p: p.stat().st_mtime_ns for p in sorted((whole / "round-01").rglob("*"))} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed differs: expected 1, found 0"),
        ({"algo": "sac"}, "algo differs: expected sac, found ppo"),
        ({"recipe": Recipe()}, "recipe differs"),
        ({"real": RealSpec(env_id="TestBlock-v0", max_episode_steps=11)}, "real differs"),
    ],
)
def test_a_folder_of_another_loop_is_refused(tmp_path, monkeypatch, change, message):
    def begun(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dreamenv.rounds.collect", begun)
    with pytest.raises(KeyboardInterrupt):
        loop(config_of(tmp_path))
    claim = (tmp_path / "loop.json").read_bytes()
    with pytest.raises(DataError, match=message):
        loop(config_of(tmp_path, **({"real_steps": 10_000} | change)))
    assert [p.name for p in tmp_path.iterdir()] == ["loop.json"]
    assert (tmp_path / "loop.json").read_bytes() == claim
    with pytest.raises(KeyboardInterrupt):  # the same one goes on
        loop(config_of(tmp_path))


def test_too_small_a_budget_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="enough for 8 episodes of the first round, got 95"):
        loop(config_of(tmp_path / "loop", real_steps=95))  # 8 · 12 = 96
    assert not (tmp_path / "loop").exists()


def test_a_restraint_by_what_the_family_does_not_tell_is_refused_and_leaves_nothing(tmp_path):
    recipe = Recipe(restraint=Restraint(unsure=2.0), audit=False)
    with pytest.raises(DataError, match=r"got 2\.0: family mdnrnn does not tell how unsure"):
        loop(config_of(tmp_path / "loop", recipe=recipe, real_steps=100_000))
    assert not (tmp_path / "loop").exists()


def test_decisions_of_several_frames_are_learnt_from_every_one_of_them(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from block_env import RECIPE

    recipe = RECIPE.model_copy(update={"frames_per_decision": 3, "defaults": {"horizon": 4}})
    loop(config_of(tmp_path / "loop", recipe=recipe, seed=3, workers=1))
    package = load_package(tmp_path / "loop" / "package")
    assert package.config.real.frames_per_step == 3
    assert package.config.real.max_episode_steps == 4
    first, second = (Rollouts.open(tmp_path / "loop" / f"round-{i:02d}" / "data") for i in range(2))
    for rollouts in (first, second):
        assert rollouts.real.frames_per_step == 1
        assert rollouts.real.max_episode_steps == 12
    # Random actions change at any frame, the policy's when it decides.
    assert any((e.actions[1:3] != e.actions[0]).any() for e in first.episodes)
    for episode in second.episodes:
        for start in range(0, len(episode), 3):
            own = episode.actions[start : start + 3]
            assert (own == own[0]).all()
    changes = [e.actions[3:4] != e.actions[2:3] for e in second.episodes if len(e) > 3]
    assert any(change.all() for change in changes)
    # What it decided from is what the real env through its model shows.
    real = dreamenv.make_real(tmp_path / "loop" / "package")
    real.reset(seed=0)
    assert real.step(np.ones(1, np.float32))[-1]["real_steps"] == 3
    real.close()
