"""The control: a learner alone on the real env, whose every frame the env itself counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
from gymnasium.envs.classic_control import CartPoleEnv

from dreamenv.config import ActionRepeat, RealSpec
from dreamenv.control import ControlPoint, control
from dreamenv.errors import DataError
from dreamenv.evaluate import evaluation_seeds
from dreamenv.preprocess import build_env
from dreamenv.recipes import Control, Recipe

REAL = RealSpec(env_id="CartPole-v1")
SETTINGS = Control(
    algo="ppo",
    timesteps=96,
    every=40,
    num_envs=2,
    hyperparameters={"n_steps": 16, "batch_size": 16, "n_epochs": 1, "net_arch": [4]},
)


@pytest.fixture
def played(monkeypatch) -> dict[str, Any]:
    """Frames that CartPole played, learnt from and evaluated on, and the seeds of both."""
    found: dict[str, Any] = {"learnt": 0, "evaluated": 0, "seeds": []}
    step, reset = CartPoleEnv.step, CartPoleEnv.reset

    def counted_step(env: Any, action: Any) -> Any:
        found["evaluated" if env.first_seed >= 2**31 else "learnt"] += 1
        return step(env, action)

    def counted_reset(env: Any, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            env.first_seed = seed
            found["seeds"].append(seed)
        return reset(env, seed=seed, options=options)

    monkeypatch.setattr(CartPoleEnv, "step", counted_step)
    monkeypatch.setattr(CartPoleEnv, "reset", counted_reset)
    return found


def run(out: Path, settings: Control = SETTINGS, **more: Any) -> list[ControlPoint]:
    return control(RealSpec.model_validate(more.pop("real", REAL)), out, settings, **more)


def test_every_frame_that_it_learns_from_is_counted(tmp_path, played):
    points = run(tmp_path, seed=3, episodes=2)
    # Evaluated as soon as 40 decisions have gone by, and at the end.
    assert [p.real_steps for p in points] == [40, 80, 96]
    assert played["learnt"] == 96
    # On episodes that no loop is evaluated on, nor anything is learnt from.
    evaluated = [s for s in played["seeds"] if s >= 2**31]
    assert evaluated == 3 * list(evaluation_seeds(999, 2))
    assert {s for s in played["seeds"] if s < 2**31} == {3, 4}
    loops = {s for number in range(2000) for s in evaluation_seeds(1000 + number, 2)}
    assert not loops & set(evaluated)


def test_repeated_actions_count_each_frame(tmp_path, played):
    real = {"env_id": "CartPole-v1", "preprocessing": [ActionRepeat(times=3)]}
    points = run(tmp_path, real=real, episodes=2)
    assert points[-1].real_steps == played["learnt"]
    assert 96 < points[-1].real_steps < 3 * 96  # an ending comes between decisions


def test_the_return_is_that_of_the_policy(tmp_path, monkeypatch):
    """Played again here, one episode after the other."""
    models = []
    learn = stable_baselines3.PPO.learn

    def recorded(model: Any, *arguments: Any, **more: Any) -> Any:
        models.append(model)
        return learn(model, *arguments, **more)

    monkeypatch.setattr(stable_baselines3.PPO, "learn", recorded)
    # One evaluation, when all is learnt.
    (only,) = run(tmp_path, SETTINGS.model_copy(update={"every": 1000}), episodes=3)
    returns = []
    for seed in evaluation_seeds(999, 3):
        env = build_env(REAL)
        seen, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            action, _ = models[0].predict(seen, deterministic=True)
            seen, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    assert only.real_return["mean"] == pytest.approx(np.mean(returns))
    assert only.real_return["low"] == min(returns)  # of three, resampled
    assert only.real_return["high"] == max(returns)


def test_the_seed_decides_it(tmp_path):
    one, two, other = (
        run(tmp_path / name, seed=seed, episodes=2) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert one == two != other


@pytest.mark.parametrize(("target", "evaluations"), [(-1.0, 2), (1e9, 3), (None, 3)])
def test_two_evaluations_at_the_target_are_enough(tmp_path, target, evaluations):
    assert len(run(tmp_path, episodes=2, target=target)) == evaluations


def test_what_was_run_is_read_and_not_run_again(tmp_path, played):
    first = run(tmp_path, episodes=2)
    found = dict(played, seeds=[*played["seeds"]])
    assert run(tmp_path, episodes=2) == first
    assert played == found
    told = json.loads((tmp_path / "control.json").read_text())
    assert [ControlPoint(**p) for p in told["points"]] == first
    assert (tmp_path / "curve.png").exists()
    for change, message in (
        ({"seed": 1}, "seed differs: expected 1, found 0"),
        ({"settings": SETTINGS.model_copy(update={"every": 41})}, "settings differs"),
        ({"real": {"env_id": "CartPole-v0"}}, "real differs"),
        ({"target": 5.0}, "target differs: expected 5.0, found None"),
    ):
        with pytest.raises(DataError, match=message):
            run(tmp_path, **({"episodes": 2} | change))


def test_off_policy(tmp_path, played):
    sac = {"learning_starts": 10, "batch_size": 8, "net_arch": [4]}
    settings = Control(algo="sac", timesteps=40, every=20, hyperparameters=sac)
    real = {"env_id": "Pendulum-v1", "max_episode_steps": 15}
    assert [p.real_steps for p in run(tmp_path, settings, real=real, episodes=2)] == [20, 40]


def test_what_cannot_learn_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"sac on Discrete\(2\)"):
        run(tmp_path / "new", Control(algo="sac"))
    with pytest.raises(ValueError, match=r"algo"):
        Recipe.model_validate({"control": {"algo": "cma"}})
    assert not (tmp_path / "new").exists()
