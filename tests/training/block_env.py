"""A small real env with nothing random but its start, and (as a script) a loop on it.

Registered as ``TestBlock-v0`` wherever this file is imported or run, so in the processes that a run
of it spawns, too.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from dreamenv.config import RealSpec
from dreamenv.learn_defaults import LearnDefaults
from dreamenv.recipes import FirstData, NextData, Recipe

SIDE, WIDTH = 16, 4
WALL = SIDE - WIDTH
SIZES = dict(vae_base=4, latent=2, hidden=24, mixtures=2, head=16, reward_bins=15)


class BlockEnv(gym.Env[Any, Any]):
    """A block slides by up to 3 pixels; its reward is its place, and the right wall ends it."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x = int(self.np_random.integers(0, WALL // 2))
        return self._frame(), {}

    def step(self, action: Any) -> Any:
        self.x = int(np.clip(self.x + round(3 * float(action[0])), 0, WALL))
        return self._frame(), self.x / WALL, self.x == WALL, False, {}

    def _frame(self) -> Any:
        frame = np.full((SIDE, SIDE, 3), 40, np.uint8)
        frame[6:10, self.x : self.x + WIDTH] = (250, 200, 60)
        return frame


if "TestBlock-v0" not in gym.registry:  # pytest imports this file a second time, for doctests
    gym.register("TestBlock-v0", BlockEnv)

REAL = RealSpec(env_id="TestBlock-v0", max_episode_steps=12)
RECIPE = Recipe(
    name="block",
    first=FirstData(episodes=10, hold=3),
    next=NextData(episodes=8, noise=0.5),
    sizes=SIZES,
    vae_steps=[12, 6],
    rnn_steps=[10],
    defaults={"horizon": 12},
    learn=LearnDefaults(
        timesteps=128, num_envs=4, hyperparameters={"n_steps": 16, "batch_size": 32, "n_epochs": 1}
    ),
    evaluation_episodes=2,
    audit=False,
)


def main() -> None:
    from dreamenv.loop import LoopConfig, loop
    from dreamenv.training import mdnrnn, vae
    from dreamenv.training.fit import FitConfig

    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--kill-at", default="", help="stage:done, as progress reports it")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    os.fsync = lambda descriptor: None
    # A checkpoint after every step, so that a killed fit goes on in its middle.
    mdnrnn.FitConfig = vae.FitConfig = functools.partial(FitConfig, checkpoint_seconds=0.0)

    def progress(stage: str, done: int, total: int, figures: Any = None) -> None:
        print(f"{stage}:{done}", flush=True)
        if f"{stage}:{done}" == arguments.kill_at:
            for child in multiprocessing.active_children():
                print(f"child {child.pid}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    config = LoopConfig(
        REAL, arguments.out, real_steps=240, recipe=RECIPE, seed=3, workers=arguments.workers
    )
    loop(config, progress)


if __name__ == "__main__":
    main()
