"""The model-free learner alone on the real env: what a loop is held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from dreamenv.audit.bootstrap import mean
from dreamenv.claim import write_json
from dreamenv.config import RealSpec
from dreamenv.curve import CONTROL, draw_curve
from dreamenv.data.policies import predict
from dreamenv.evaluate import evaluation_seeds
from dreamenv.learners import algorithm
from dreamenv.preprocess import build_env
from dreamenv.progress import Progress, silent
from dreamenv.recipes import Control

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


@dataclass(frozen=True)
class ControlPoint:
    """An evaluation of the control."""

    real_steps: int
    """Frames of the real env that were learned from so far."""
    real_return: dict[str, float]
    """mean, low, high on the real env, on episodes that play no part elsewhere."""


def control(
    real: RealSpec,
    out: Path,
    settings: Control,
    *,
    seed: int = 0,
    episodes: int = 10,
    deterministic: bool = True,
    target: float | None = None,
    progress: Progress = silent,
) -> list[ControlPoint]:
    """Learn on the real env alone, and leave ``control.json`` in ``out``, beside a loop's curve.

    The learner sees observations as they are, without a model; actions in [-1, 1] as in the dream.
    Returns what is there, if it was run before.

    Args:
        target: stop once two evaluations in a row reach this mean return; None to use all steps.

    Raises:
        ImportError: Stable-Baselines3 is missing.
    """
    import json

    path = out / CONTROL
    if path.exists():
        return [ControlPoint(**p) for p in json.loads(path.read_text())["points"]]
    try:
        from stable_baselines3.common.vec_env import DummyVecEnv
    except ImportError as error:
        raise ImportError('learning needs: pip install "dreamenv[sb3]"') from error
    out.mkdir(parents=True, exist_ok=True)
    envs = DummyVecEnv([lambda: build_env(real) for _ in range(settings.num_envs)])
    points: list[ControlPoint] = []
    try:
        envs.seed(seed)
        model = algorithm(
            settings.algo, envs, settings.hyperparameters.model_dump(exclude_none=True), seed
        )
        seeds = list(evaluation_seeds(999, episodes))

        def evaluate(steps: int) -> bool:
            returns = _play(model, real, seeds, deterministic)
            spread = mean(returns, seed=0)
            figures = {"mean": spread.value, "low": spread.low, "high": spread.high}
            points.append(ControlPoint(steps * real.frames_per_step, figures))
            progress("control", steps, settings.timesteps, {"real return": spread.value})
            reached = target is not None and all(
                p.real_return["mean"] >= target for p in points[-2:]
            )
            return not (reached and len(points) > 1)

        model.learn(settings.timesteps, callback=_every(settings.every, evaluate))
    finally:
        envs.close()
    told = {"algo": settings.algo, "seed": seed, "points": [asdict(p) for p in points]}
    write_json(path, told | {"settings": settings.model_dump(mode="json")})
    draw_curve(out)
    return points


def _every(decisions: int, evaluate: Any) -> Any:
    """A callback that evaluates after every so many decisions, and stops if told to."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Every(BaseCallback):
        last = 0

        def _on_step(self) -> bool:
            if self.num_timesteps - self.last < decisions:
                return True
            self.last = self.num_timesteps
            return bool(evaluate(self.num_timesteps))

    return Every()


def _play(
    model: BaseAlgorithm, real: RealSpec, seeds: list[int], deterministic: bool
) -> list[float]:
    """Returns of whole episodes, side by side: one prediction for all."""
    envs = [build_env(real) for _ in seeds]
    rngs = np.random.default_rng(0)
    seen = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
    returns, going = np.zeros(len(envs)), list(range(len(envs)))
    while going:
        actions = predict(model, np.stack([seen[i] for i in going]), deterministic, rngs)
        over = set()
        for i, action in zip(going, actions, strict=True):
            seen[i], reward, terminated, truncated, _ = _step(envs[i], action)
            returns[i] += reward
            if terminated or truncated:
                over.add(i)
        going = [i for i in going if i not in over]
    for env in envs:
        env.close()
    return [float(r) for r in returns]


def _step(env: gym.Env[Any, Any], action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    observation, reward, terminated, truncated, info = env.step(action)
    return observation, float(reward), terminated, truncated, info
