"""Drive without learning: at every decision, dream many plans and take the best one's start.

Random shooting. Lane 0 is the episode; the others are branches of it, each under its own random
stream, so that a plan is not chosen for one lucky future. One batch steps them all.

    python examples/plan_in_a_dream.py --decisions 100
"""

from __future__ import annotations

import argparse
import time

import gymnasium as gym
import numpy as np
from dreamenv_client import DreamVectorEnv
from numpy.typing import NDArray

import dreamenv  # noqa: F401  (registers the ids)


def propose(
    rng: np.random.Generator, plans: int, horizon: int, size: int, hold: int
) -> NDArray[np.float32]:
    """Random plans ``[horizon, plans, size]`` in [-1, 1], each held for ``hold`` decisions."""
    chosen = rng.uniform(-1.0, 1.0, (-(-horizon // hold), plans, size))
    return chosen.repeat(hold, axis=0)[:horizon].astype(np.float32)


def dream_returns(envs: DreamVectorEnv, plans: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reward of each plan ``[plans]``, up to the end of its dream."""
    total = np.zeros(envs.num_envs, np.float32)
    going_on = np.ones(envs.num_envs, bool)
    for actions in plans:
        _, reward, terminated, truncated, _ = envs.step(actions)
        total += np.where(going_on, reward, 0.0)
        going_on &= ~(terminated | truncated)
    return total


def plan(
    dream: str, *, plans: int, horizon: int, decisions: int, hold: int = 4, seed: int = 0
) -> list[float]:
    """Reward of each decision of one dreamt episode, driven by plans of ``horizon`` decisions."""
    envs = gym.make_vec("Dream-v0", model=dream, num_envs=plans)
    assert isinstance(envs, DreamVectorEnv)
    (size,) = envs.single_action_space.shape or ()
    rng = np.random.default_rng(seed)
    branches = range(1, plans)
    envs.reset(seed=seed)
    rewards: list[float] = []
    for _ in range(decisions):
        moment = envs.snapshot([0])
        fresh = rng.integers(2**31, size=len(branches)).tolist()
        envs.branch([0] * len(branches), branches, seeds=fresh)
        proposed = propose(rng, plans, horizon, size, hold)
        best = int(np.argmax(dream_returns(envs, proposed)))

        envs.restore(moment, [0])
        _, reward, terminated, truncated, _ = envs.step(proposed[0, best][None].repeat(plans, 0))
        rewards.append(float(reward[0]))
        if terminated[0] or truncated[0]:
            break
    envs.close()
    return rewards


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dream", default="Dream-CarRacing-v0")
    parser.add_argument("--plans", type=int, default=256)
    parser.add_argument("--horizon", type=int, default=20)
    parser.add_argument("--decisions", type=int, default=50)
    asked = parser.parse_args()
    began = time.monotonic()
    rewards = plan(asked.dream, plans=asked.plans, horizon=asked.horizon, decisions=asked.decisions)
    steps = len(rewards) * asked.plans * (asked.horizon + 1)
    seconds = time.monotonic() - began
    print(f"return {sum(rewards):.1f} in {len(rewards)} decisions")
    print(f"{steps:,} dreamt steps, {steps / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
