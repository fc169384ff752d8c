"""Things that are timed in turn, and what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from serving_load import HORIZON, STEPS
from serving_process import DreamServing, Server, cpu_seconds

Run = Callable[[float], list[float]]
"""Works for so many seconds; how long each call took."""


@dataclass
class Timed:
    """One of the things that take turns.

    Args:
        run: does it.
        steps: of envs in one call.
        server: whom it calls.
    """

    run: Run
    steps: int = 1
    server: Server | None = None
    rates: list[float] = field(default_factory=list)
    """Steps a second in each block."""
    medians: list[float] = field(default_factory=list)
    """Seconds that a call took in each block."""
    took: list[float] = field(default_factory=list)
    seconds: float = 0.0
    client_cpu: float = 0.0
    server_cpu: float = 0.0
    batches: dict[str, int] = field(default_factory=dict)

    def block(self, seconds: float) -> None:
        """Do it for so long, and write down what it took."""
        serving = self.server if isinstance(self.server, DreamServing) else None
        before = serving.batches() if serving else {}
        server_cpu = self.server.cpu if self.server else 0.0
        client_cpu, began = cpu_seconds(), time.perf_counter()
        took = self.run(seconds)
        passed = time.perf_counter() - began
        self.client_cpu += cpu_seconds() - client_cpu
        if self.server:
            self.server_cpu += self.server.cpu - server_cpu
        if serving:
            for size, count in serving.batches().items():
                self.batches[size] = self.batches.get(size, 0) + count - before.get(size, 0)
        self.seconds += passed
        self.rates.append(self.steps * len(took) / passed)
        self.medians.append(statistics.median(took))
        self.took += took

    def figures(self) -> dict[str, Any]:
        """What came of it."""
        p50, p99 = np.quantile(self.took, (0.5, 0.99)) * 1e6
        steps = self.steps * len(self.took)
        figures: dict[str, Any] = {
            "steps per second": round(statistics.median(self.rates)),
            "p50 microseconds": round(p50, 1),
            "p99 microseconds": round(p99, 1),
            "calls": len(self.took),
            "client cpu": round(self.client_cpu / self.seconds, 2),
            "client cpu microseconds a step": round(1e6 * self.client_cpu / steps, 1),
        }
        if self.server:
            figures["server cpu"] = round(self.server_cpu / self.seconds, 2)
            figures["server cpu microseconds a step"] = round(1e6 * self.server_cpu / steps, 1)
        if whole := sum(self.batches.values()):
            figures["batches by lanes at most"] = {
                size: round(count / whole, 4) for size, count in self.batches.items() if count
            }
        return figures


def take_turns(things: Mapping[str, Timed], rounds: int, seconds: float) -> None:
    """Each in turn, in every round; one block each before that is thrown away."""
    for thing in things.values():
        thing.run(seconds)
    for _ in range(rounds):
        for thing in things.values():
            thing.block(seconds)


def ratio(values: Sequence[float]) -> dict[str, float]:
    """Of what the rounds gave."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def each_call(function: Callable[[], Any]) -> Run:
    """Calls it again and again."""

    def run(seconds: float) -> list[float]:
        took: list[float] = []
        clock = time.perf_counter
        began = clock()
        until = began + seconds
        while began < until:
            function()
            now = clock()
            took.append(now - began)
            began = now
        return took

    return run


def stepping(dream: str, lanes: int, obs: str, server: str | None) -> Callable[[], Any]:
    """A step of a vector env's, in which no episode ends."""
    knobs: dict[str, Any] = {"obs": obs, "termination": "none", "horizon": HORIZON}
    envs = gym.make_vec(dream, num_envs=lanes, server=server, **knobs)
    envs.action_space.seed(0)
    return _steps_of(envs)


def stepping_one(dream: str, server: str | None) -> Callable[[], Any]:
    """A step of an env's, in which no episode ends."""
    env = gym.make(dream, server=server, termination="none", horizon=HORIZON).unwrapped
    env.action_space.seed(0)
    return _steps_of(env)


def _steps_of(env: Any) -> Callable[[], Any]:
    actions = [env.action_space.sample() for _ in range(STEPS)]
    env.reset(seed=0)
    at = 0

    def step() -> None:
        nonlocal at
        at = (at + 1) % STEPS
        env.step(actions[at])

    return step
