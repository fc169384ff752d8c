"""A real env whose pay is known: 1 a frame for action 0, nothing for actions 1 and 2."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from dreamenv.config import RealSpec

STEPS = 24


class PayingEnv(gym.Env[Any, Any]):
    """Frames are of the brightness that the seed and the last action give."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(3)
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._frame(0), {}

    def step(self, action: Any) -> Any:
        return self._frame(int(action)), float(action == 0), False, False, {}

    def _frame(self, action: int) -> Any:
        level = 40 * action + self.np_random.integers(0, 20)
        return np.full((16, 16, 3), level, np.uint8)


if "TestPaying-v0" not in gym.registry:
    gym.register("TestPaying-v0", PayingEnv, max_episode_steps=STEPS)

SPEC = RealSpec(env_id="TestPaying-v0")
