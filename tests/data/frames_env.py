"""A small real env for tests: uint8 frames that tell the step and the action they followed.

Run as a script it collects from it, and may be told to kill itself at the n-th flush to the disk.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from dreamenv.config import ActionRepeat, RealSpec
from dreamenv.data.collect import CollectConfig, collect


class FramesEnv(gym.Env[Any, Any]):
    """Ends by chance, with probability ``end`` a frame; rewards are −1, 0 or 1."""

    def __init__(
        self,
        size: int = 16,
        end: float = 0.02,
        discrete: bool = False,
        fail_at: int = -1,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = gym.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = (
            gym.spaces.Discrete(3)
            if discrete
            else gym.spaces.Box(np.float32([-1, 0]), np.float32([1, 2]))
        )
        self._end, self._fail_at = end, fail_at
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._t = 0
        return self._frame(np.zeros(2)), {}

    def step(self, action: Any) -> Any:
        self._t += 1
        if self._t == self._fail_at:
            raise ZeroDivisionError("the env broke")
        reward = float(self.np_random.integers(-1, 2))
        over = bool(self.np_random.random() < self._end)
        return self._frame(np.ravel(action)), reward, over, False, {}

    def _frame(self, action: Any) -> Any:
        frame = self.np_random.integers(0, 256, self.observation_space.shape, dtype=np.uint8)
        frame[0, 0] = self._t % 256
        frame[0, 1] = np.round(action.sum() * 50) % 256
        return frame


if "TestFrames-v0" not in gym.registry:  # pytest imports this file a second time, for doctests
    gym.register("TestFrames-v0", FramesEnv, max_episode_steps=61)


def frames_spec(repeat: int = 4, **kwargs: Any) -> RealSpec:
    return RealSpec(
        env_id="TestFrames-v0", kwargs=kwargs, preprocessing=[ActionRepeat(times=repeat)]
    )


def kill_at_flush(count: int) -> None:
    """Die, as of kill -9, at the ``count``-th ``os.fsync``."""
    flush, left = os.fsync, [count]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(descriptor)

    os.fsync = fsync


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kill-at", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.kill_at:
        kill_at_flush(arguments.kill_at)
    config = CollectConfig(
        frames_spec(),
        arguments.out,
        episodes=8,
        seed=5,
        workers=arguments.workers,
        episodes_per_shard=3,
    )
    collect(config, lambda stage, done, total, figures=None: print(done, flush=True))


if __name__ == "__main__":
    main()
