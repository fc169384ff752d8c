"""Learners of Stable-Baselines3 by name: made, gone on with, saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamenv.errors import PolicyError

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

OFF_POLICY = ("sac", "td3", "dqn")
LARGEST_BUFFER = 1_000_000
"""Decisions, of all lanes, that off-policy learners keep where the settings say nothing."""


def learn_on(model: BaseAlgorithm, initial: str | Path) -> None:
    """Give a learner all that a policy learnt before had learnt: networks, the optimisers' states,
    and what else is learnt beside them (SAC's entropy coefficient).

    Raises:
        PolicyError: it is of another algorithm or other networks.
    """
    from dreamenv.data.policies import load_policy

    earlier = load_policy(initial)
    # Of two algorithms, names and shapes may agree, and the optimisers' settings not.
    found = "" if type(earlier) is type(model) else type(earlier).__name__
    beside = model._get_torch_save_params()[1]
    try:
        if not found:
            learnt_before: Any = earlier.get_parameters()
            model.set_parameters(learnt_before)
            for learnt in map(attrgetter, beside):  # which set_parameters leaves out
                learnt(model).data.copy_(learnt(earlier).data)
    except (AttributeError, KeyError, RuntimeError, ValueError) as error:
        found = f"others: {' '.join(str(error).split())}"
    if found:
        raise PolicyError(
            f"{initial}: expected a policy of {type(model).__name__} with the same networks, found "
            f"{found}; learn from nothing, or give the settings that it was learnt with"
        )


def algorithm(
    algo: str, env: VecEnv, settings: Settings, seed: int, timesteps: int
) -> BaseAlgorithm:
    """An untrained learner of Stable-Baselines3, by its name in small letters.

    Args:
        timesteps: decisions that it will learn for: what an off-policy one keeps is all of them, up
            to SB3's own million, unless the settings have a ``buffer_size``.

    Raises:
        ValueError: an unknown one, or one that takes no such actions or settings.
    """
    import stable_baselines3

    names = {name.lower(): name for name in ("PPO", "A2C", "SAC", "TD3", "DQN")}
    if algo not in names:
        known = ", ".join(sorted([*names, "cma"]))
        raise ValueError(f"algo: expected one of {known}, got {algo!r}")
    chosen = dict(settings)
    if algo in OFF_POLICY:
        # Whole steps of all lanes. Drawn from are the rows that were written: no draw is another.
        steps = -(-timesteps // env.num_envs)
        chosen.setdefault("buffer_size", min(LARGEST_BUFFER, steps * env.num_envs))
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


def save_policy(model: BaseAlgorithm, path: Path) -> None:
    """Write an SB3 ``.zip``, which appears only when whole."""
    from stable_baselines3.common.utils import LinearSchedule

    if isinstance(falling := model.learning_rate, _Falling):
        # SB3's own class in its place: the file loads where dreamenv is not installed.
        model.learning_rate = LinearSchedule(falling.first, falling.last, 1.0)
        model._setup_lr_schedule()
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        model.save(file)
    partial.replace(path)
