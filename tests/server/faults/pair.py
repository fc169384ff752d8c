"""A dream on a server and the same one in process, which must agree in every bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from dreamenv_client.lanes import Lanes, LaneStep

from dreamenv.dream import Dream


def assert_same(ours: LaneStep, theirs: LaneStep, when: str = "") -> None:
    """Every array bitwise, the infos in the same order."""
    for name in ("observation", "reward", "terminated", "truncated"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == other.dtype, (name, when)
        assert mine.shape == other.shape, (name, when)
        assert mine.tobytes() == other.tobytes(), (name, when)
    assert list(ours.info) == list(theirs.info), when
    for name, values in ours.info.items():
        assert values.tobytes() == theirs.info[name].tobytes(), (name, when)


class Pair:
    """Makes the same calls on both, a function of the seed, and compares what they give.

    ``steps`` counts those made.
    """

    def __init__(self, far: Lanes, near: Dream, seed: int) -> None:
        self.far, self.near = far, near
        self.steps = 0
        self._luck, self._seed = random.Random(seed), seed
        self._over = np.zeros(near.num_lanes, np.bool_)
        self._kept: tuple[Any, Any] | None = None
        self._both("reset", seeds=[seed + lane for lane in range(near.num_lanes)])

    def step(self) -> None:
        """Step all lanes; those that are over begin an episode instead."""
        rng = np.random.default_rng((self._seed, self.steps))
        space = self.near.action_space
        count = self.near.num_lanes
        actions = np.stack([_sample(space, rng) for _ in range(count)])
        self._both("step", actions, self._over)
        self.steps += 1

    def anything(self) -> None:
        """Another call than a step."""
        luck, lanes = self._luck, range(self.near.num_lanes)
        some = luck.sample(lanes, luck.randint(1, len(lanes)))
        match luck.randrange(5):
            case 0:
                mask = np.isin(np.arange(len(lanes)), some)
                own = [luck.choice((None, luck.randrange(2**63))) for _ in lanes]
                self._both("reset", mask, own)
            case 1:
                self._kept = self.far.snapshot(), self.near.snapshot()
            case 2 if self._kept is not None:
                ours, theirs = self._kept
                self._compare(self.far.restore(ours), self.near.restore(theirs), "restore")
            case 3:
                target = luck.sample(lanes, len(some))
                own = [luck.randrange(2**63) for _ in some] if luck.random() < 0.5 else None
                self._both("branch", some, target, own)
            case _:
                knobs = {"temperature": luck.choice((0.0, 1.0, (0.5, 1.5))), "horizon": 40}
                for lanes_of in (self.far, self.near):
                    lanes_of.set_knobs(some, **knobs)

    def _both(self, method: str, *given: Any, **named: Any) -> None:
        ours = getattr(self.far, method)(*given, **named)
        self._compare(ours, getattr(self.near, method)(*given, **named), method)

    def _compare(self, ours: LaneStep, theirs: LaneStep, method: str) -> None:
        assert_same(ours, theirs, f"{method} after {self.steps} steps of pair {self._seed}")
        self._over = theirs.terminated | theirs.truncated


def _sample(space: Any, rng: np.random.Generator) -> Any:
    if hasattr(space, "n"):
        return rng.integers(space.start, space.start + space.n)
    return rng.uniform(space.low, space.high).astype(space.dtype)
