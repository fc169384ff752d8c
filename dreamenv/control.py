"""The model-free learner alone on the real env: what a loop is held against."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dreamenv.audit.bootstrap import mean
from dreamenv.claim import write_json
from dreamenv.config import RealSpec
from dreamenv.curve import CONTROL, draw_curve
from dreamenv.data.policies import predict
from dreamenv.errors import DataError
from dreamenv.evaluate import evaluation_seeds
from dreamenv.learners import algorithm
from dreamenv.preprocess import build_env
from dreamenv.progress import Progress, silent
from dreamenv.recipes import Control

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

EVALUATION_SEED = 999
"""Of the episodes that show where a control stands; a loop's rounds have those of 1000 and on."""


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
    It is evaluated after every ``settings.every`` decisions, and once it has used all. Returns what
    is there, if it was run before; killed, it begins anew.

    Args:
        episodes: of an evaluation.
        deterministic: they are played with the policy's mode; else it is sampled.
        target: stop once two evaluations in a row reach this mean return; None to use all steps.

    Raises:
        DataError: ``out`` has the control of other settings.
        ValueError: the algorithm cannot take the env's actions or the settings.
        ImportError: Stable-Baselines3 is missing.
    """
    path = out / CONTROL
    asked = {
        "real": real.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "episodes": episodes,
        "deterministic": deterministic,
        "target": target,
    }
    if path.exists():
        found = json.loads(path.read_text())
        for name, value in asked.items():
            if found.get(name) != value:
                raise DataError(
                    f"{path}: {name} differs: expected {value}, found {found.get(name)}; choose "
                    "another folder, or remove the file"
                )
        return [ControlPoint(**point) for point in found["points"]]
    play = partial(_play, real, list(evaluation_seeds(EVALUATION_SEED, episodes)), deterministic)
    points: list[ControlPoint] = []

    def evaluate(model: BaseAlgorithm, real_steps: int) -> bool:
        """Whether to go on."""
        spread = mean(play(model), seed=0)
        figures = {"mean": spread.value, "low": spread.low, "high": spread.high}
        points.append(ControlPoint(real_steps, figures))
        shown = {"real return": spread.value, "frames": real_steps}
        progress("control", model.num_timesteps, settings.timesteps, shown)
        last = [p.real_return["mean"] for p in points[-2:]]
        return target is None or len(last) < 2 or min(last) < target

    with learner(real, settings, seed) as model:
        out.mkdir(parents=True, exist_ok=True)
        _learn(model, settings, evaluate)
    told = {"algo": settings.algo, **asked, "points": [asdict(p) for p in points]}
    write_json(path, told)
    draw_curve(out)
    return points


@contextmanager
def learner(real: RealSpec, settings: Control, seed: int) -> Iterator[BaseAlgorithm]:
    """The untrained learner on real envs of its own.

    Raises:
        ValueError: the algorithm cannot take the env's actions or the settings.
        ImportError: Stable-Baselines3 is missing.
    """
    try:
        from stable_baselines3.common.vec_env import DummyVecEnv
    except ImportError as error:
        raise ImportError('learning needs: pip install "dreamenv[sb3]"') from error
    envs = DummyVecEnv([partial(build_env, real)] * settings.num_envs)
    try:
        chosen = settings.hyperparameters.model_dump(exclude_none=True)
        yield algorithm(settings.algo, envs, chosen, seed, settings.timesteps)
    finally:
        envs.close()


def _learn(
    model: BaseAlgorithm, settings: Control, evaluate: Callable[[BaseAlgorithm, int], bool]
) -> None:
    """Learn, stopping to evaluate; what has been learnt from is counted by the frame."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Every(BaseCallback):
        frames = 0
        last = 0
        """Decisions at the last evaluation."""

        def _on_step(self) -> bool:
            self.frames += sum(info["real_steps"] for info in self.locals["infos"])
            if self.num_timesteps - self.last < settings.every:
                return True
            self.last = self.num_timesteps
            return evaluate(self.model, self.frames)

        def _on_training_end(self) -> None:
            if self.num_timesteps > self.last:
                evaluate(self.model, self.frames)

    model.learn(settings.timesteps, callback=Every())


def _play(
    real: RealSpec, seeds: list[int], deterministic: bool, model: BaseAlgorithm
) -> list[float]:
    """Returns of whole episodes, side by side: one prediction for all."""
    rng = np.random.default_rng(0)
    with ExitStack() as stack:
        envs = [stack.enter_context(closing(build_env(real))) for _ in seeds]
        seen = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
        returns, going = np.zeros(len(envs)), list(range(len(envs)))
        while going:
            actions = predict(model, np.stack([seen[i] for i in going]), deterministic, rng)
            over = set()
            for i, action in zip(going, actions, strict=True):
                seen[i], reward, terminated, truncated, _ = envs[i].step(action)
                returns[i] += float(reward)
                if terminated or truncated:
                    over.add(i)
            going = [i for i in going if i not in over]
    return [float(r) for r in returns]
