"""What share of an SB3 training loop the dream takes.

    python benchmarks/sb3_share.py [--dream Dream-CarRacing-v0] [--timesteps 65536]

The clock around the dream's steps includes its conversions to and from numpy; the rest is SB3's
rollout buffer, policy and updates.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnvWrapper

from dreamenv.learners import DEFAULTS
from dreamenv.sb3 import DreamVecEnv


class Clocked(VecEnvWrapper):
    """Adds up the seconds spent in the dream."""

    seconds = 0.0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        began = time.perf_counter()
        stepped = self.venv.step_wait()
        self.seconds += time.perf_counter() - began
        return stepped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="Dream-CarRacing-v0")
    parser.add_argument("--timesteps", type=int, default=65_536)
    parser.add_argument("--num-envs", type=int, default=64)
    arguments = parser.parse_args()
    settings = {k: DEFAULTS["ppo"][k] for k in ("n_steps", "batch_size", "n_epochs")}
    policy = {"net_arch": DEFAULTS["ppo"]["net_arch"]}
    env = Clocked(DreamVecEnv(arguments.dream, num_envs=arguments.num_envs))
    model = PPO("MlpPolicy", env, policy_kwargs=policy, seed=0, device="cpu", **settings)
    model.learn(env.num_envs * DEFAULTS["ppo"]["n_steps"])  # warm-up
    env.seconds, began, before = 0.0, time.perf_counter(), model.num_timesteps
    model.learn(arguments.timesteps, reset_num_timesteps=False)
    seconds, steps = time.perf_counter() - began, model.num_timesteps - before
    print(
        json.dumps(
            {
                "num_envs": env.num_envs,
                "timesteps": steps,
                "steps_per_second": round(steps / seconds),
                "share_of_time_in_the_dream": round(env.seconds / seconds, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
