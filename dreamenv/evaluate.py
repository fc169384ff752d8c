"""``dreamenv evaluate``: what a policy scores, in the dream or in the real env."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv.audit.bootstrap import mean
from dreamenv.data.policies import load_policy, predict, uniform_action
from dreamenv.packages import load_config
from dreamenv.progress import Progress, silent
from dreamenv.real import make_real, observation_kind

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from dreamenv.models.world_model import ObservationKind

FIRST_SEED = 2**40
"""Evaluation episodes are seeded from here on, collected ones below 2³¹: no track is in both."""
EPISODES_A_SEED = 10**6
LANES = 256


@dataclass(frozen=True)
class Evaluation:
    """Returns of whole episodes, in the real env's units."""

    on: str
    mean: float
    std: float
    low: float
    """95% bootstrap interval of the mean."""
    high: float
    returns: list[float]
    lengths: list[int]
    """In decisions."""
    seeds: list[int]
    real_steps: int
    """Frames of the real env that this took; 0 in a dream."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def evaluation_seeds(seed: int, episodes: int) -> list[int]:
    """The seeds of ``episodes`` episodes: disjoint for different ``seed``, and from all data.

    Raises:
        ValueError: a negative seed, or not 1 to a million episodes.
    """
    if not 0 <= seed < 2**20 or not 1 <= episodes <= EPISODES_A_SEED:
        raise ValueError(
            f"expected 0 ≤ seed < 2²⁰ and 1 to {EPISODES_A_SEED:,} episodes, "
            f"got seed {seed} and {episodes} episodes"
        )
    return [FIRST_SEED + seed * EPISODES_A_SEED + i for i in range(episodes)]


def evaluate(
    policy: str | Path,
    dream: str | Path,
    *,
    on: Literal["dream", "real"] = "real",
    episodes: int = 20,
    seed: int = 0,
    deterministic: bool = True,
    knobs: Mapping[str, Any] | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Evaluation:
    """Play whole episodes with a policy.

    Args:
        policy: an SB3 ``.zip`` of your own (it holds pickled Python), or ``"random"``: actions
            uniform in the action space.
        on: ``"dream"``, all episodes as one batch; ``"real"``, in ``workers`` processes.
        deterministic: the policy's mode; else it is sampled, under the episode's seed.
        knobs: of the dream (``temperature``, …), over the package's own; on the dream only.

    Raises:
        ValueError: bad arguments, or a policy that does not fit the dream.
        PackageError, PolicyError: no such package or policy.
    """
    seeds = evaluation_seeds(seed, episodes)
    began = time.monotonic()
    if on == "dream":
        returns, lengths = _in_dream(
            str(policy), dream, seeds, deterministic, knobs or {}, progress
        )
        real_steps = 0
    elif on == "real":
        if knobs:
            raise ValueError(f"knobs: the real env has none, got {sorted(knobs)}")
        returns, lengths, frames = _in_real(
            str(policy), dream, seeds, deterministic, workers, progress
        )
        real_steps = sum(frames)
    else:
        raise ValueError(f'on: expected "dream" or "real", got {on!r}')
    spread = mean(returns, seed=0) if episodes > 1 else None
    return Evaluation(
        on=on,
        mean=float(np.mean(returns)),
        std=float(np.std(returns, ddof=1)) if episodes > 1 else 0.0,
        low=spread.low if spread else returns[0],
        high=spread.high if spread else returns[0],
        returns=returns,
        lengths=lengths,
        seeds=seeds,
        real_steps=real_steps,
        seconds=time.monotonic() - began,
    )


class Actor:
    """A policy by name: ``"random"``, or an SB3 file."""

    def __init__(self, policy: str, dream: str | Path, deterministic: bool) -> None:
        config = load_config(dream)
        self.space: gym.Space[Any] = config.action.space()
        self.deterministic = deterministic
        self.obs: ObservationKind = "features"
        self.model: BaseAlgorithm | None = None
        if policy != "random":
            self.model = load_policy(policy)
            self.obs = observation_kind(config, self.model, policy)

    def act(self, observation: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """One action for one observation, or ``[n, …]`` for a batch of them."""
        if self.model is not None:
            return predict(self.model, observation, self.deterministic, rng)
        single = observation.ndim == self._dimensions
        if single:
            return uniform_action(self.space, rng)
        return np.stack([uniform_action(self.space, rng) for _ in observation])

    @property
    def _dimensions(self) -> int:
        return 3 if self.obs == "pixels" else 1


def _in_dream(
    policy: str,
    dream: str | Path,
    seeds: list[int],
    deterministic: bool,
    knobs: Mapping[str, Any],
    progress: Progress,
) -> tuple[list[float], list[int]]:
    from dreamenv.make import make_vector_env

    actor = Actor(policy, dream, deterministic)
    returns, lengths = np.zeros(len(seeds)), np.zeros(len(seeds), dtype=np.int64)
    for at in range(0, len(seeds), LANES):
        chunk = seeds[at : at + LANES]
        env = make_vector_env(
            model=str(dream), num_envs=len(chunk), obs=actor.obs, autoreset_mode="NextStep", **knobs
        )
        rng = np.random.default_rng(chunk)
        observation, _ = env.reset(seed=list(chunk))
        playing = np.ones(len(chunk), dtype=bool)
        while playing.any():
            observation, reward, terminated, truncated, _ = env.step(actor.act(observation, rng))
            returns[at : at + len(chunk)] += np.where(playing, reward, 0.0)
            lengths[at : at + len(chunk)] += playing
            playing &= ~(terminated | truncated)
            progress("dream", int(at + len(chunk) - playing.sum()), len(seeds))
        env.close()
    return returns.tolist(), lengths.tolist()


def play_real(
    actor: Actor, env: gym.Env[Any, Any], seed: int
) -> tuple[float, int, int]:
    """One real episode: return, decisions, real frames."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    total, decisions, frames, over = 0.0, 0, 0, False
    while not over:
        observation, reward, terminated, truncated, info = env.step(actor.act(observation, rng))
        total += float(reward)
        decisions += 1
        frames += int(info["real_steps"])
        over = terminated or truncated
    return total, decisions, frames


_worker: dict[str, Any] = {}


def _start_worker(policy: str, dream: str, deterministic: bool) -> None:
    import torch

    torch.set_num_threads(1)
    _worker["actor"], _worker["dream"] = Actor(policy, dream, deterministic), dream


def _work(seed: int) -> tuple[float, int, int]:
    # A fresh env an episode: Box2D keeps something of a used one.
    env = make_real(_worker["dream"], obs=_worker["actor"].obs)
    try:
        return play_real(_worker["actor"], env, seed)
    finally:
        env.close()


def _in_real(
    policy: str,
    dream: str | Path,
    seeds: list[int],
    deterministic: bool,
    workers: int,
    progress: Progress,
) -> tuple[list[float], list[int], list[int]]:
    results: dict[int, tuple[float, int, int]] = {}
    with _one_thread_each(), ProcessPoolExecutor(
        min(workers, len(seeds)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(policy, str(dream), deterministic),
    ) as pool:
        futures = {pool.submit(_work, seed): i for i, seed in enumerate(seeds)}
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            done = [r[0] for r in results.values()]
            progress("real", len(done), len(seeds), {"real return": float(np.mean(done))})
    ordered = [results[i] for i in range(len(seeds))]
    returns, lengths, frames = zip(*ordered, strict=True)
    return list(returns), list(lengths), list(frames)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers share the cores: one OpenMP thread each."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
