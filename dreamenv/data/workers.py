"""The processes that do a collection's work, shard by shard."""

from __future__ import annotations

import multiprocessing
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from dreamenv.data.manifest import Manifest
from dreamenv.data.policies import (
    CollectPolicy,
    HeldPolicy,
    RandomPolicy,
    TrainedPolicy,
    load_policy,
)
from dreamenv.data.shards import Episode, write_shard
from dreamenv.errors import DataError
from dreamenv.preprocess import build_env
from dreamenv.threads import one_thread_a_worker, one_torch_thread

if TYPE_CHECKING:
    from dreamenv.data.collect import CollectConfig


@dataclass(frozen=True)
class EpisodeSummary:
    """One finished episode in figures."""

    index: int
    decisions: int
    real_steps: int
    total_reward: float


Report = Callable[[EpisodeSummary], None]


def run_shards(
    config: CollectConfig, manifest: Manifest, missing: Sequence[int], report: Report
) -> None:
    """Collect the missing shards, each by whichever worker is free.

    Raises:
        RuntimeError: a worker failed or died.
    """
    if not missing:
        return
    if config.workers == 1:
        with _threads(config):
            policy = make_policy(config, manifest)
            for index in missing:
                collect_shard(config, manifest, policy, index, report)
        return
    with _workers(config, manifest, min(config.workers, len(missing))) as connections:
        waiting = deque(missing)
        busy: list[Connection] = []
        for connection in connections:
            _hand_out(connection, waiting.popleft())
            busy.append(connection)
        while busy:
            for ready in wait(busy):
                assert isinstance(ready, Connection)
                try:
                    message = ready.recv()
                except (EOFError, ConnectionResetError):
                    raise RuntimeError(
                        "a collecting worker died (out of memory?); run the same command again "
                        "to go on, with fewer workers if memory is short"
                    ) from None
                if isinstance(message, EpisodeSummary):
                    report(message)
                elif message is not None:
                    raise RuntimeError(f"a collecting worker failed:\n{message}")
                elif waiting:
                    _hand_out(ready, waiting.popleft())
                else:
                    busy.remove(ready)


def spend(
    config: CollectConfig, manifest: Manifest, done: Sequence[Episode], report: Report
) -> None:
    """Collect episodes one after the other until the budget of real frames is used up, or less of
    it is left than a decision may take.

    Args:
        done: those of earlier runs, in order.
    """
    assert config.real_steps is not None
    a_decision = config.real.frames_per_step
    used, number = sum(e.real_steps for e in done), len(done)

    def count(episode: EpisodeSummary) -> None:
        nonlocal used
        used += episode.real_steps
        report(episode)

    with _threads(config):
        policy: CollectPolicy | None = None
        while number < config.episodes and (left := (config.real_steps - used) // a_decision):
            policy = policy or make_policy(config, manifest)
            most = left if config.max_decisions is None else min(left, config.max_decisions)
            collect_shard(replace(config, max_decisions=most), manifest, policy, number, count)
            number += 1


def _hand_out(connection: Connection[Any, Any], shard: int) -> None:
    # What a dead worker had to say, or that it is dead, is learnt when its pipe is read.
    with suppress(BrokenPipeError):
        connection.send(shard)


def collect_shard(
    config: CollectConfig, manifest: Manifest, policy: CollectPolicy, index: int, report: Report
) -> None:
    """Play one shard's episodes and write them."""
    first = index * manifest.episodes_per_shard
    episodes = []
    for number in range(first, first + manifest.shard_size(index)):
        episode = play(config, policy, manifest.policy, number)
        episodes.append(episode)
        total = float(episode.rewards.sum(dtype=np.float64))
        report(EpisodeSummary(number, len(episode), episode.real_steps, total))
    write_shard(config.out, index, episodes)


def play(config: CollectConfig, policy: CollectPolicy, name: str, number: int) -> Episode:
    """Episode ``number`` of a collection, in an env of its own.

    A used env may carry something over (Box2D keeps its world from episode to episode), so a fresh
    one is what makes an episode a function of (seed, number) alone.
    """
    env_stream, policy_stream = np.random.SeedSequence(config.seed, spawn_key=(number,)).spawn(2)
    seed = int(env_stream.generate_state(1)[0] >> 1)
    env = build_env(config.real)
    try:
        frame, _ = env.reset(seed=seed)
        policy.begin(frame, np.random.default_rng(policy_stream))
        frames, actions, rewards = [frame], [], []
        real_steps, fruitless, over = 0, 0, False
        while not over:
            action = policy.act()
            frame, reward, terminated, truncated, info = env.step(action)
            policy.observe(action, frame)
            frames.append(frame)
            actions.append(action)
            rewards.append(float(reward))
            real_steps += info["real_steps"]
            fruitless = 0 if rewards[-1] > 0 else fruitless + 1
            if not terminated and (
                len(actions) == config.max_decisions or fruitless == config.patience
            ):
                truncated = True
            over = terminated or truncated
    finally:
        env.close()
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    return Episode(
        frames=np.stack(frames),
        actions=np.asarray(actions, np.int64 if discrete else np.float32),
        rewards=np.asarray(rewards, np.float32),
        terminated=bool(terminated),
        truncated=bool(truncated),
        seed=seed,
        policy=name,
        real_steps=real_steps,
    )


def make_policy(config: CollectConfig, manifest: Manifest) -> CollectPolicy:
    """Who acts: torch, model and policy are loaded only if they are used."""
    if config.dream is None:
        return RandomPolicy(manifest.action.space(), config.hold)
    from dreamenv.packages import load_package
    from dreamenv.real import RealFilter, observation_kind

    package, model = load_package(config.dream), load_policy(config.policy)
    kind = observation_kind(package.config, model.observation_space, config.policy)
    times = max(1, package.config.real.frames_per_step // config.real.frames_per_step)
    if config.real.repeating(times) != package.config.real:
        raise DataError(
            f"{config.dream}: expected a dream of {config.real}, or of it with actions repeated; "
            f"got one of {package.config.real}"
        )
    trained = TrainedPolicy(
        model,
        RealFilter(package, kind),
        noise=config.noise,
        deterministic=config.deterministic,
        random_prefix=config.random_prefix,
        hold=config.hold,
    )
    return trained if times == 1 else HeldPolicy(trained, times)


def _threads(config: CollectConfig) -> AbstractContextManager[None]:
    return nullcontext() if config.dream is None else one_torch_thread()


@contextmanager
def _workers(
    config: CollectConfig, manifest: Manifest, count: int
) -> Iterator[list[Connection[Any, Any]]]:
    """Spawned workers, each at the other end of a pipe; gone when the block is left.

    A pipe breaks when this process is killed, and ends its worker after the episode in hand.
    """
    context = multiprocessing.get_context("spawn")
    processes, connections = [], []
    with one_thread_a_worker():
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, config, manifest), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.terminate()
            process.join()
            process.close()


def _work(connection: Connection, config: CollectConfig, manifest: Manifest) -> None:
    """Shard numbers come in; summaries, then None for each finished shard, go out."""
    try:
        with _threads(config):
            policy = make_policy(config, manifest)
            while True:
                collect_shard(config, manifest, policy, connection.recv(), connection.send)
                connection.send(None)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # nobody is left to work for
    except Exception:
        connection.send(traceback.format_exc())
