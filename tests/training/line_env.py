"""A small real env that shows a vector, whose every rule is known.

Registered as ``TestLine-v0`` wherever this file is imported.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from dreamenv.config import RealSpec

STEPS, GOAL, PUSH, NOISE = 25, 1.0, 0.4, 0.1


class LineEnv(gym.Env[Any, Any]):
    """A point on a line that is pushed by its action and by noise. Shown are its place and the last
    action; the reward is its place, and beyond the goal the episode ends."""

    def __init__(self, render_mode: str | None = None, discrete: bool = False) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = (
            gym.spaces.Discrete(3) if discrete else gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        )
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.last = float(self.np_random.normal(0.0, 0.3)), 0.0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        discrete = isinstance(self.action_space, gym.spaces.Discrete)
        self.last = float(action) - 1.0 if discrete else float(action[0])
        self.x += PUSH * self.last + NOISE * float(self.np_random.normal())
        return self._seen(), self.x, self.x > GOAL, False, {}

    def _seen(self) -> Any:
        return np.array([self.x, self.last], np.float32)


if "TestLine-v0" not in gym.registry:  # pytest imports this file a second time, for doctests
    gym.register("TestLine-v0", LineEnv, max_episode_steps=STEPS)

REAL = RealSpec(env_id="TestLine-v0")
