"""``dreamenv evaluate``: what a policy scores, in the dream or in the real env."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from dreamenv.actor import Actor
from dreamenv.audit.bootstrap import mean
from dreamenv.progress import Progress, silent
from dreamenv.real import make_real
from dreamenv.threads import end_with_parent, one_thread_a_worker, one_torch_thread

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


def evaluation_seeds(seed: int, episodes: int) -> range:
    """The seeds of ``episodes`` episodes: disjoint for different ``seed``, and from all data.

    Raises:
        ValueError: a negative seed, or not 1 to a million episodes.
    """
    if not 0 <= seed < 2**20 or not 1 <= episodes <= EPISODES_A_SEED:
        raise ValueError(
            f"expected 0 ≤ seed < 2²⁰ and 1 to {EPISODES_A_SEED:,} episodes, "
            f"got seed {seed} and {episodes} episodes"
        )
    first = FIRST_SEED + seed * EPISODES_A_SEED
    return range(first, first + episodes)


def evaluate(
    policy: str | Path,
    dream: str | Path,
    *,
    on: Literal["dream", "real"] = "real",
    episodes: int = 20,
    seed: int = 0,
    deterministic: bool = False,
    knobs: Mapping[str, Any] | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Evaluation:
    """Play whole episodes with a policy.

    Args:
        policy: an SB3 ``.zip`` of your own (it holds pickled Python), or ``"random"``: actions
            uniform in the action space.
        on: ``"dream"``, all episodes as one batch; ``"real"``, in ``workers`` processes.
        deterministic: the policy's mode. By default it is sampled, as it was while it learned: a
            mode that is stuck stays stuck. Samples follow from the episode's seed on the real env,
            from the batch's seeds in the dream.
        knobs: of the dream (``temperature``, …), over the package's own; on the dream only. Returns
            are what the model says is paid: a package's own ``trust_penalty``, which is for
            learners, is not taken off unless it is among them.

    Raises:
        ValueError: bad arguments, or a policy that does not fit the dream.
        PackageError, PolicyError: no such package or policy.
    """
    seeds = list(evaluation_seeds(seed, episodes))
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
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
        settings = {"obs": actor.obs, "trust_penalty": 0.0, **knobs}
        env = make_vector_env(
            model=str(dream), num_envs=len(chunk), autoreset_mode="NextStep", **settings
        )
        rngs = [np.random.default_rng(seed) for seed in chunk]
        observation, _ = env.reset(seed=list(chunk))
        playing = np.ones(len(chunk), dtype=bool)
        while playing.any():
            actions = actor.act_all(observation, rngs)
            observation, reward, terminated, truncated, _ = env.step(actions)
            returns[at : at + len(chunk)] += np.where(playing, reward, 0.0)
            lengths[at : at + len(chunk)] += playing
            playing &= ~(terminated | truncated)
            progress("dream", int(at + len(chunk) - playing.sum()), len(seeds))
        env.close()
    return returns.tolist(), lengths.tolist()


def play_real(actor: Actor, env: gym.Env[Any, Any], seed: int) -> tuple[float, int, int]:
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
    end_with_parent()
    _worker["actor"], _worker["dream"] = Actor(policy, dream, deterministic), dream


def _work(seed: int) -> tuple[float, int, int]:
    return _fresh_episode(_worker["actor"], _worker["dream"], seed)


def _fresh_episode(actor: Actor, dream: str, seed: int) -> tuple[float, int, int]:
    # A fresh env an episode: Box2D keeps something of a used one.
    env = make_real(dream, obs=actor.obs)
    try:
        return play_real(actor, env, seed)
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

    def note(number: int, result: tuple[float, int, int]) -> None:
        results[number] = result
        mean_return = float(np.mean([r[0] for r in results.values()]))
        progress("real", len(results), len(seeds), {"real return": mean_return})

    actor = Actor(policy, dream, deterministic)  # also refuses here what workers would
    if workers == 1:
        with one_torch_thread():
            for i, seed in enumerate(seeds):
                note(i, _fresh_episode(actor, str(dream), seed))
        return _columns(results)
    with (
        one_thread_a_worker(),
        ProcessPoolExecutor(
            min(workers, len(seeds)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(policy, str(dream), deterministic),
        ) as pool,
    ):
        futures = {pool.submit(_work, seed): i for i, seed in enumerate(seeds)}
        for future in as_completed(futures):
            note(futures[future], future.result())
    return _columns(results)


def _columns(
    results: Mapping[int, tuple[float, int, int]],
) -> tuple[list[float], list[int], list[int]]:
    """Returns, lengths and frames in the order of the seeds."""
    returns, lengths, frames = zip(*(results[i] for i in sorted(results)), strict=True)
    return list(returns), list(lengths), list(frames)
