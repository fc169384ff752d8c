"""Who acts while episodes are collected."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv.errors import PolicyError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from dreamenv.real import RealFilter


class CollectPolicy(Protocol):
    """Acts through one episode after another; its randomness is that of the episode's ``rng``."""

    def begin(self, frame: NDArray[Any], rng: np.random.Generator) -> None:
        """An episode begins with this first observation, a uint8 frame or a float32 vector."""
        ...

    def act(self) -> NDArray[Any]:
        """The action for what was seen so far."""
        ...

    def observe(self, action: NDArray[Any], frame: NDArray[Any]) -> None:
        """The observation that ``action`` led to."""
        ...


class RandomPolicy:
    """Actions uniform in the action space, each held for 1 to ``longest`` decisions (uniformly).

    Every episode draws its own ``longest``, from 1 to ``hold``: a model that saw only long holds
    knows nothing of what trembles on the spot.
    """

    def __init__(self, space: gym.Space[Any], hold: int) -> None:
        self._space, self._hold = space, hold

    def begin(self, frame: NDArray[Any], rng: np.random.Generator) -> None:
        self._rng = rng
        self._longest = int(rng.integers(1, self._hold + 1))
        self._left = 0

    def act(self) -> NDArray[Any]:
        if self._left == 0:
            self._left = int(self._rng.integers(1, self._longest + 1))
            self._action = uniform_action(self._space, self._rng)
        self._left -= 1
        return self._action

    def observe(self, action: NDArray[Any], frame: NDArray[Any]) -> None:
        """Random actions look at nothing."""


class TrainedPolicy:
    """A Stable-Baselines3 policy that sees real frames through its dream's model, and explores.

    An episode's first 0 to ``random_prefix`` decisions (uniformly) are random held actions. Then
    the policy acts; on top, for each episode, a scale drawn uniformly from [0, ``noise``]:
    for continuous actions it multiplies first-order autoregressive noise of unit variance
    (e' = ρe + √(1-ρ²)·ε, ρ = 0.8), added and cut to [-1, 1]; for discrete ones it is the
    probability of a uniform action.
    """

    CORRELATION = 0.8

    def __init__(
        self,
        model: BaseAlgorithm,
        seen: RealFilter,
        *,
        noise: float,
        deterministic: bool,
        random_prefix: int,
        hold: int,
    ) -> None:
        self._model, self._seen = model, seen
        self._noise, self._deterministic = noise, deterministic
        self._prefix, self._hold = random_prefix, hold
        self._space = seen.action_space

    def begin(self, frame: NDArray[Any], rng: np.random.Generator) -> None:
        self._rng = rng
        self._observation = self._seen.begin(frame)
        self._prefix_left = int(rng.integers(0, self._prefix + 1))
        self._random = RandomPolicy(self._space, self._hold)
        self._random.begin(frame, rng)
        self._scale = float(rng.uniform(0.0, self._noise))
        self._wobble = rng.standard_normal(self._space.shape or ())

    def act(self) -> NDArray[Any]:
        if self._prefix_left > 0:
            self._prefix_left -= 1
            return self._random.act()
        chosen = predict(self._model, self._observation, self._deterministic, self._rng)
        if isinstance(self._space, gym.spaces.Discrete):
            explore = self._rng.uniform() < self._scale
            return uniform_action(self._space, self._rng) if explore else np.asarray(chosen)
        rho = self.CORRELATION
        fresh = self._rng.standard_normal(self._wobble.shape)
        self._wobble = rho * self._wobble + np.sqrt(1.0 - rho**2) * fresh
        return np.clip(chosen + self._scale * self._wobble, -1.0, 1.0).astype(np.float32)

    def observe(self, action: NDArray[Any], frame: NDArray[Any]) -> None:
        self._observation = self._seen.posterior(action, frame)


class HeldPolicy:
    """Another policy's actions, each held for several steps of an env that is recorded at every
    one of them. It sees the last of each: what it would see of an env that repeats actions."""

    def __init__(self, policy: CollectPolicy, times: int) -> None:
        self._policy, self._times = policy, times

    def begin(self, frame: NDArray[Any], rng: np.random.Generator) -> None:
        self._policy.begin(frame, rng)
        self._left = 0

    def act(self) -> NDArray[Any]:
        if self._left == 0:
            self._left, self._action = self._times, self._policy.act()
        self._left -= 1
        return self._action

    def observe(self, action: NDArray[Any], frame: NDArray[Any]) -> None:
        if self._left == 0:
            self._policy.observe(action, frame)


def uniform_action(space: gym.Space[Any], rng: np.random.Generator) -> NDArray[Any]:
    """An action uniform in a Box within [-1, 1] (float32) or a Discrete space (int64)."""
    if isinstance(space, gym.spaces.Discrete):
        return np.asarray(rng.integers(space.n), np.int64)
    return rng.uniform(-1.0, 1.0, space.shape).astype(np.float32)


def predict(
    model: BaseAlgorithm,
    observation: NDArray[Any],
    deterministic: bool,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """The policy's action, sampled under ``rng`` alone: torch's own generator is left as it was.

    DQN has nothing to sample and would draw its own exploration elsewhere: it is always greedy.
    """
    if deterministic or hasattr(model, "exploration_rate"):
        return model.predict(observation, deterministic=True)[0]
    import torch

    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: where no GPU is in use, it keeps the call with its traceback, for
        # one that may come, which takes longer than the action and is never freed.
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        if getattr(model, "use_sde", False):  # draws its noise here, not in predict
            model.policy.reset_noise()  # type: ignore[operator]
        return model.predict(observation, deterministic=False)[0]


MARKS = {
    "PPO": "clip_range",
    "SAC": "target_entropy",
    "TD3": "policy_delay",
    "DQN": "exploration_fraction",
    "A2C": "gae_lambda",
}
"""A setting that only this algorithm has, of those not named above it; SB3 files name no class."""


def load_policy(path: str | Path) -> BaseAlgorithm:
    """Load a Stable-Baselines3 ``.zip`` on the CPU, whichever of PPO, A2C, SAC, TD3 or DQN it is.

    Such a file holds pickled Python, which runs as it is loaded: load only files of your own.

    Raises:
        PolicyError: not such a file.
        ImportError: Stable-Baselines3 is not installed.
    """
    try:
        import stable_baselines3
    except ImportError as error:
        raise ImportError('a trained policy needs: pip install "dreamenv[sb3]"') from error
    try:
        with zipfile.ZipFile(path) as archive:
            settings = json.loads(archive.read("data"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise PolicyError(
            f"{path}: expected a policy saved by Stable-Baselines3 (a .zip with its data), {error}"
        ) from error
    named = settings if isinstance(settings, dict) else {}
    name = next((name for name, mark in MARKS.items() if mark in named), None)
    if name is None:
        raise PolicyError(f"{path}: expected a policy of {', '.join(MARKS)}; found none of them")
    algorithm: type[BaseAlgorithm] = getattr(stable_baselines3, name)
    try:
        return algorithm.load(path, device="cpu")
    except Exception as error:  # Whatever torch, pickle and SB3 say of a file that is damaged.
        raise PolicyError(
            f"{path}: expected a whole policy of {name}, found {type(error).__name__}: {error}; "
            "copy or learn it again"
        ) from error
