"""``dreamenv learn``: train a policy in a dream, by Stable-Baselines3 or by CMA-ES."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamenv.packages import load_config
from dreamenv.progress import Progress, silent

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv

Settings = Mapping[str, Any]

DEFAULTS: dict[str, dict[str, Any]] = {
    "ppo": {
        # Many lanes and short rollouts: a dream gives fresh experience for less than it costs to
        # learn from the same again.
        "n_steps": 16,
        "batch_size": 1024,
        "n_epochs": 3,
        "learning_rate": 1e-3,
        "final_learning_rate": 3e-5,
        "gamma": 0.97,
        "gae_lambda": 0.95,
        "net_arch": [64, 64],
        "log_std_init": -1.0,
    },
    "a2c": {"n_steps": 16, "net_arch": [128, 128]},
    "sac": {"learning_starts": 4096, "gradient_steps": 8, "net_arch": [128, 128]},
    "td3": {"learning_starts": 4096, "gradient_steps": 8, "net_arch": [128, 128]},
    "dqn": {"learning_starts": 4096, "gradient_steps": 8, "net_arch": [128, 128]},
}
"""What an algorithm gets where the package says nothing. ``net_arch`` and ``log_std_init`` go to
the policy; the learning rate falls linearly to ``final_learning_rate`` where that is given; with
``normalize_reward`` rewards are divided by the running deviation of the discounted return."""


@dataclass(frozen=True)
class Learned:
    """A finished training run."""

    path: Path
    timesteps: int
    """Decisions in the dream."""
    seconds: float
    curve: list[tuple[int, float]] = field(default_factory=list)
    """(decisions, mean return of the latest dream episodes), as training went on."""

    @property
    def steps_per_second(self) -> float:
        """Decisions a second, learning included."""
        return self.timesteps / self.seconds


def learn(
    dream: str | Path,
    *,
    out: str | Path,
    algo: str | None = None,
    timesteps: int | None = None,
    seed: int = 0,
    num_envs: int | None = None,
    knobs: Settings | None = None,
    hyperparameters: Settings | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> Learned:
    """Train a policy from scratch in a dream, and save it as an ordinary SB3 ``.zip``.

    What is not given is the package's own recipe (``learn`` in its config), chosen so that the
    policy transfers. No real env is touched.

    Args:
        dream: folder, shipped id or hub id of a package.
        out: the policy's file; ``.zip`` is appended if missing, and it appears only when whole.
        algo: ``"ppo"``, ``"a2c"``, ``"sac"``, ``"td3"`` or ``"dqn"``; or ``"cma"``, a linear
            controller by CMA-ES (:class:`dreamenv.cma_es.CMAConfig` has its hyperparameters),
            saved as a PPO without a hidden layer.
        timesteps: decisions in the dream, all lanes together.
        knobs: of the dream (``temperature``, ``horizon``, ``starts`` …), over the package's.
        hyperparameters: of the algorithm, over the package's.

    Raises:
        OSError: no place for ``out``.
        ValueError: an unknown algorithm or hyperparameter, an algorithm that cannot take the
            dream's actions, a bad knob, or fewer than one decision or lane.
        PackageError: no such package.
        ImportError: Stable-Baselines3 is missing, or the library ``cma``.
    """
    try:
        from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
    except ImportError as error:
        raise ImportError('learning needs: pip install "dreamenv[sb3]"') from error
    from dreamenv.learn_progress import Stagger, Watch
    from dreamenv.sb3 import DreamVecEnv

    config = load_config(dream)
    recipe = config.learn
    algo = algo or recipe.algo
    own = recipe.settings if algo == recipe.algo else {}
    settings = {**DEFAULTS.get(algo, {}), **own, **(hyperparameters or {})}
    path = _place(Path(out))
    steps = recipe.timesteps if timesteps is None else timesteps
    if steps < 1:
        raise ValueError(f"timesteps: expected at least 1, got {steps}")
    chosen: dict[str, Any] = {"device": device, **recipe.knobs, **(knobs or {})}
    if algo == "cma":
        return _evolve(dream, path, steps, seed, chosen, settings, progress)
    lanes = DreamVecEnv(dream, num_envs=recipe.num_envs if num_envs is None else num_envs, **chosen)
    horizon = int(chosen.get("horizon") or config.defaults.horizon)
    env: VecEnv = VecMonitor(lanes)
    if settings.pop("normalize_reward", False):
        # Values far from 1 take a network long to reach, and their errors swamp all else.
        env = VecNormalize(env, norm_obs=False, gamma=settings.get("gamma", 0.99))
    try:
        model = _algorithm(algo, env, settings, seed)
        watch = Watch(steps, progress)
        began = time.monotonic()
        model.learn(steps, callback=[Stagger(lanes, horizon, seed), watch])
        seconds = time.monotonic() - began
        _save(model, path)
    finally:
        env.close()
    return Learned(path, int(model.num_timesteps), seconds, watch.curve)


def _evolve(
    dream: str | Path,
    out: Path,
    timesteps: int,
    seed: int,
    knobs: dict[str, Any],
    settings: Settings,
    progress: Progress,
) -> Learned:
    from dreamenv.cma_es import CMAConfig, as_policy, evolve

    unknown = sorted(set(settings) - set(CMAConfig.__dataclass_fields__))
    if unknown:
        raise ValueError(
            f"cma: unknown {unknown}; expected some of {list(CMAConfig.__dataclass_fields__)}"
        )
    began = time.monotonic()
    evolved = evolve(
        dream, CMAConfig(**settings), timesteps=timesteps, seed=seed, knobs=knobs, progress=progress
    )
    _save(as_policy(evolved.parameters, dream, knobs), out)
    return Learned(out, evolved.timesteps, time.monotonic() - began, evolved.curve)


def _algorithm(algo: str, env: VecEnv, settings: Settings, seed: int) -> BaseAlgorithm:
    import stable_baselines3

    names = {name.lower(): name for name in ("PPO", "A2C", "SAC", "TD3", "DQN")}
    if algo not in names:
        known = ", ".join(sorted([*names, "cma"]))
        raise ValueError(f"algo: expected one of {known}, got {algo!r}")
    chosen = dict(settings)
    policy = {k: chosen.pop(k) for k in ("net_arch", "log_std_init") if k in chosen}
    if (last := chosen.pop("final_learning_rate", None)) is not None:
        first = chosen.get("learning_rate", 3e-4)
        chosen["learning_rate"] = _Falling(first, last)
    if {"n_steps", "batch_size"} <= set(chosen):  # few lanes give less than a batch
        chosen["batch_size"] = min(chosen["batch_size"], chosen["n_steps"] * env.num_envs)
    kind = "MlpPolicy" if len(env.observation_space.shape or ()) == 1 else "CnnPolicy"
    try:
        made: BaseAlgorithm = getattr(stable_baselines3, names[algo])(
            kind, env, policy_kwargs=policy, seed=seed, device="cpu", **chosen
        )
    except (AssertionError, TypeError) as error:
        raise ValueError(f"{algo} on {env.action_space}: {error}") from error
    return made


@dataclass(frozen=True)
class _Falling:
    """A rate that falls linearly with the share of training that is left."""

    first: float
    last: float

    def __call__(self, left: float) -> float:
        return self.last + (self.first - self.last) * left


def _place(out: Path) -> Path:
    """Where the policy goes; told to be impossible before it is learnt, not after."""
    if not out.name or out.is_dir():
        raise ValueError(f"out: expected the path of a file, got {str(out)!r}")
    path = out if out.suffix == ".zip" else out.with_name(out.name + ".zip")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _save(model: BaseAlgorithm, path: Path) -> None:
    from stable_baselines3.common.utils import LinearSchedule

    if isinstance(falling := model.learning_rate, _Falling):
        # SB3's own class in its place: the file loads where dreamenv is not installed.
        model.learning_rate = LinearSchedule(falling.first, falling.last, 1.0)
        model._setup_lr_schedule()
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        model.save(file)
    partial.replace(path)
