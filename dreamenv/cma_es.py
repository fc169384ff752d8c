"""A linear controller by CMA-ES, as in *World Models* (Ha & Schmidhuber 2018, A.3, C).

A generation's whole population plays as one batch of lanes. Individual i's episode k has the same
seed whoever i is: they are compared under the same luck, which takes most of the noise out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv.make import make_vector_env
from dreamenv.progress import Progress

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

CERTAIN = 1e4
"""Logits of the saved policy are so much larger than the controller's, so that a sample is its mode
but where two actions are as good as equal."""
SURE = -20.0
"""Log standard deviation of the saved policy's continuous actions."""


@dataclass(frozen=True)
class CMAConfig:
    """Population and noise; the defaults are the paper's (A.4), but for fewer parameters' sake."""

    population: int = 64
    episodes: int = 16
    """That an individual plays; its fitness is their mean return."""
    sigma: float = 0.1
    """First standard deviation of every parameter, around 0."""
    diagonal: bool = False
    """Adapt variances alone: for many thousands of parameters."""

    def __post_init__(self) -> None:
        if self.population < 4 or self.episodes < 1 or not self.sigma > 0.0:
            raise ValueError(
                "cma: expected population ≥ 4, episodes ≥ 1 and sigma > 0, got "
                f"{self.population}, {self.episodes} and {self.sigma}"
            )


@dataclass(frozen=True)
class Evolved:
    """What a run of CMA-ES came to."""

    parameters: NDArray[np.float64]
    """Of :func:`act`, ``[outputs * (inputs + 1)]``: the mean of the last distribution."""
    timesteps: int
    """Decisions in the dream, of all lanes whose episode was going on."""
    curve: list[tuple[int, float]]
    """(decisions, mean return of the generation)."""


def outputs(space: gym.Space[Any]) -> int:
    """How many numbers a linear controller puts out for an action: of n discrete ones, the first
    always scores 0, since only differences count."""
    if isinstance(space, gym.spaces.Discrete):
        return int(space.n) - 1
    return int(np.prod(space.shape or ()))


def act(
    parameters: NDArray[np.float64], observations: NDArray[np.float32], space: gym.Space[Any]
) -> NDArray[Any]:
    """Each individual's actions for its own observations.

    Args:
        parameters: ``[population, outputs * (inputs + 1)]``: weights by output, then biases.
        observations: ``[population, episodes, inputs]``.

    Returns:
        ``[population, episodes, *action]``: the discrete action that scores most, or the outputs
        cut to [-1, 1].
    """
    count, inputs = outputs(space), observations.shape[-1]
    weights = parameters[:, : count * inputs].reshape(-1, count, inputs).astype(np.float32)
    biases = parameters[:, count * inputs :].astype(np.float32)
    out = observations @ weights.transpose(0, 2, 1) + biases[:, None]
    if isinstance(space, gym.spaces.Discrete):
        best = np.argmax(out, axis=-1)
        chosen: NDArray[np.int64] = np.where(out.max(axis=-1) > 0.0, best + 1, 0)
        return chosen
    cut: NDArray[np.float32] = out.clip(-1.0, 1.0)
    return cut


def evolve(
    dream: str | Path,
    config: CMAConfig,
    *,
    timesteps: int,
    seed: int,
    knobs: Mapping[str, Any],
    progress: Progress,
) -> Evolved:
    """Run generations until ``timesteps`` decisions have been dreamt.

    Raises:
        ImportError: the library ``cma`` is missing.
    """
    try:
        import cma
    except ImportError as error:
        raise ImportError('CMA-ES needs: pip install "dreamenv[cma]"') from error
    env = make_vector_env(model=str(dream), num_envs=config.population * config.episodes, **knobs)
    space = env.single_action_space
    inputs = int(np.prod(env.single_observation_space.shape or ()))
    options = {
        "popsize": config.population,
        "seed": seed + 1,  # 0 would have it seeded by the clock
        "CMA_diagonal": config.diagonal,
        "verbose": -9,
    }
    search = cma.CMAEvolutionStrategy(
        np.zeros(outputs(space) * (inputs + 1)), config.sigma, options
    )
    curve: list[tuple[int, float]] = []
    used, began = 0, time.monotonic()
    try:
        while used < timesteps:
            population = search.ask()
            luck = len(curve) * config.episodes + np.arange(config.episodes) + (seed << 32)
            returns, decisions = _play(env, np.stack(population), luck)
            search.tell(population, (-returns.mean(axis=1)).tolist())
            used += decisions
            curve.append((used, float(returns.mean())))
            figures = {
                "steps/s": used / (time.monotonic() - began),
                "dream return": curve[-1][1],
                "best": float(returns.mean(axis=1).max()),
            }
            progress("learn", min(used, timesteps), timesteps, figures)
    finally:
        env.close()
    return Evolved(np.asarray(search.result.xfavorite), used, curve)


def _play(
    env: Any, population: NDArray[np.float64], luck: NDArray[np.int64]
) -> tuple[NDArray[np.float64], int]:
    """Whole episodes of everyone: returns ``[population, episodes]``, and decisions taken."""
    shape = (len(population), len(luck))
    observations, _ = env.reset(seed=np.tile(luck, len(population)).tolist())
    returns, playing, decisions = np.zeros(env.num_envs), np.ones(env.num_envs, np.bool_), 0
    while playing.any():
        actions = act(population, observations.reshape(*shape, -1), env.single_action_space)
        observations, rewards, terminated, truncated, _ = env.step(
            actions.reshape(env.num_envs, *actions.shape[2:])
        )
        returns += np.where(playing, rewards, 0.0)
        decisions += int(playing.sum())
        playing &= ~(terminated | truncated)
    return returns.reshape(shape), decisions


def as_policy(
    parameters: NDArray[np.float64], dream: str | Path, knobs: Mapping[str, Any]
) -> BaseAlgorithm:
    """The controller as an SB3 ``PPO`` without a hidden layer, which acts just as it does."""
    import torch
    from stable_baselines3 import PPO

    from dreamenv.sb3 import DreamVecEnv

    env = DreamVecEnv(dream, num_envs=1, **knobs)
    model = PPO(
        "MlpPolicy", env, n_steps=2, batch_size=2, policy_kwargs={"net_arch": []}, device="cpu"
    )
    count = outputs(env.action_space)
    weights, biases = parameters[:-count].reshape(count, -1), parameters[-count:]
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    if discrete:
        weights = CERTAIN * np.concatenate([np.zeros_like(weights[:1]), weights])
        biases = CERTAIN * np.concatenate([[0.0], biases])
    with torch.no_grad():
        last: Any = model.policy.action_net
        last.weight.copy_(torch.from_numpy(weights))
        last.bias.copy_(torch.from_numpy(biases))
        if not discrete:
            policy: Any = model.policy
            policy.log_std.fill_(SURE)
    return model
