"""``dreamenv learn``: train a policy in a dream, by Stable-Baselines3 or by CMA-ES."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamenv.config import PackageConfig
from dreamenv.dream.trust import trust_asked
from dreamenv.learners import DEFAULTS, OFF_POLICY, Settings, algorithm, learn_on, save_policy
from dreamenv.packages import load_config
from dreamenv.progress import Progress, silent
from dreamenv.restraint import Restraint

if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv


@dataclass(frozen=True)
class Learned:
    """A finished training run."""

    path: Path
    timesteps: int
    """Decisions in the dream."""
    seconds: float
    curve: list[tuple[int, float]] = field(default_factory=list)
    """(decisions, mean return of the latest dream episodes), as training went on."""
    stopped: str | None = None
    """Why a restraint stopped it; None if none did."""

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
    initial: str | Path | None = None,
    restraint: Restraint | None = None,
    best_real: float = math.inf,
    device: str = "cpu",
    progress: Progress = silent,
) -> Learned:
    """Train a policy in a dream, and save it as an ordinary SB3 ``.zip``.

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
        initial: an SB3 ``.zip`` of your own (it holds pickled Python), of the same algorithm and
            networks, to learn on from, not for ``"cma"``; None to learn from nothing. Off-policy,
            its own actions fill the replay buffer instead of random ones, and DQN explores by
            ``exploration_final_eps`` from the first.
        restraint: bounds past which learning stops; not for ``"cma"``.
        best_real: the most that a real episode was paid a decision, over ``restraint.window``.

    Raises:
        OSError: no place for ``out``.
        ValueError: an unknown algorithm or hyperparameter, an algorithm that cannot take the
            dream's actions, a bad knob, fewer than one decision or lane, or a bound on the
            uncertainty of a dream that does not tell it.
        PackageError: no such package.
        PolicyError: ``initial`` is no policy, or of another algorithm or other networks.
        ImportError: Stable-Baselines3 is missing, or the library ``cma``.
    """
    try:
        from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
    except ImportError as error:
        raise ImportError('learning needs: pip install "dreamenv[sb3]"') from error
    from dreamenv.learn_progress import Fill, Restrain, Stagger, Watch
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
    unsure = None if restraint is None else restraint.unsure
    if config.trust is not None and unsure is None and not trust_asked(config, **chosen):
        chosen.setdefault("uncertainty", False)  # which nobody would read, and costs a step
    if algo == "cma":
        if initial is not None or restraint is not None:
            raise ValueError("cma: expected neither initial nor restraint, got one of them")
        return _evolve(dream, path, steps, seed, chosen, settings, progress)
    if unsure is not None and not _tells(config, chosen):
        raise ValueError(
            f"restraint: unsure: expected None, got {unsure}: {config.name} (family "
            f"{config.family}) does not tell how unsure it is; bound its pace instead"
        )
    lanes = DreamVecEnv(dream, num_envs=recipe.num_envs if num_envs is None else num_envs, **chosen)
    horizon = int(chosen.get("horizon") or config.defaults.horizon)
    env: VecEnv = VecMonitor(lanes)
    if settings.pop("normalize_reward", False):
        # Values far from 1 take a network long to reach, and their errors swamp all else.
        env = VecNormalize(env, norm_obs=False, gamma=settings.get("gamma", 0.99))
    if initial is not None and algo == "dqn":  # which would explore as if it knew nothing
        settings["exploration_initial_eps"] = settings.get("exploration_final_eps", 0.05)
    try:
        model = algorithm(algo, env, settings, seed, steps)
        watch = Watch(steps, progress)
        callbacks: list[BaseCallback] = [Stagger(lanes, horizon, seed), watch]
        if initial is not None:
            learn_on(model, initial)
            if algo in OFF_POLICY:
                callbacks.append(Fill())
        restrain = None if restraint is None else Restrain(restraint, best_real)
        began = time.monotonic()
        model.learn(steps, callback=callbacks if restrain is None else [*callbacks, restrain])
        seconds = time.monotonic() - began
        save_policy(model, path)
    finally:
        env.close()
    stopped = None if restrain is None else restrain.stopped
    return Learned(path, int(model.num_timesteps), seconds, watch.curve, stopped)


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
    save_policy(as_policy(evolved.parameters, dream, knobs), out)
    return Learned(out, evolved.timesteps, time.monotonic() - began, evolved.curve)


def _tells(config: PackageConfig, knobs: Settings) -> bool:
    """Whether the dream's infos say how unsure the model is, in units of real decisions."""
    return config.trust is not None and knobs.get("uncertainty") is not False


def _place(out: Path) -> Path:
    """Where the policy goes; told to be impossible before it is learnt, not after."""
    if not out.name or out.is_dir():
        raise ValueError(f"out: expected the path of a file, got {str(out)!r}")
    path = out if out.suffix == ".zip" else out.with_name(out.name + ".zip")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
