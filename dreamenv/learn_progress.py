"""What :func:`dreamenv.learn.learn` does between steps, as SB3 callbacks."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from dreamenv.progress import Progress


class Watch(BaseCallback):
    """Reports steps/s and the dream's return, and keeps the learning curve."""

    def __init__(self, timesteps: int, progress: Progress, every: float = 1.0) -> None:
        super().__init__()
        self.curve: list[tuple[int, float]] = []
        self._total, self._progress, self._every = timesteps, progress, every
        self._began = self._last = time.monotonic()

    def _on_step(self) -> bool:
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._report(now)
        return True

    def _on_training_end(self) -> None:
        self._report(time.monotonic())

    def _report(self, now: float) -> None:
        figures = {"steps/s": self.num_timesteps / max(now - self._began, 1e-9)}
        episodes = self.model.ep_info_buffer
        if episodes:
            figures["dream return"] = float(np.mean([e["r"] for e in episodes]))
            self.curve.append((self.num_timesteps, figures["dream return"]))
        self._progress("learn", min(self.num_timesteps, self._total), self._total, figures)


class Stagger(BaseCallback):
    """Lets the lanes' first episodes end at different times.

    Lanes that march in step are truncated together, and SB3 bootstraps truncated lanes one at a
    time; besides, a batch of the same moment of every episode teaches less.
    """

    def __init__(self, lanes: Any, horizon: int, seed: int) -> None:
        super().__init__()
        self._lanes, self._horizon, self._seed = lanes, horizon, seed
        self._short = np.zeros(0, dtype=bool)

    def _on_training_start(self) -> None:
        rng = np.random.default_rng(self._seed)
        first = rng.integers(1, self._horizon + 1, self._lanes.num_envs)
        for lane, horizon in enumerate(first):
            self._lanes.set_knobs(lanes=[lane], horizon=int(horizon))
        self._short = first < self._horizon

    def _on_step(self) -> bool:
        over = self._short & np.asarray(self.locals["dones"])
        if over.any():
            self._lanes.set_knobs(lanes=np.flatnonzero(over).tolist(), horizon=self._horizon)
            self._short &= ~over
        return True
