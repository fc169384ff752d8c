"""What :func:`dreamenv.learn.learn` does between steps, as SB3 callbacks."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from dreamenv.progress import Progress
from dreamenv.restraint import Restraint


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


class Restrain(BaseCallback):
    """Stops learning past the bounds of a :class:`~dreamenv.restraint.Restraint`.

    The policy that is kept is the one that was about to be learnt from what went too far: nothing
    has been learnt from the last window yet, but what updates within it took in.

    Args:
        best_real: the most that a real episode was paid a decision, over ``window`` in a row.
    """

    def __init__(self, restraint: Restraint, best_real: float) -> None:
        super().__init__()
        self.stopped: str | None = None
        """Why, once it has."""
        self._bounds, self._highest = restraint, restraint.highest(best_real)
        self._steps, self._paid, self._unsure = 0, 0.0, 0.0

    def _on_step(self) -> bool:
        # Under VecNormalize the locals' rewards are scaled ones; episodes' are not.
        vec = self.training_env
        rewards = vec.get_original_reward() if hasattr(vec, "get_original_reward") else None
        paid = self.locals["rewards"] if rewards is None else rewards
        self._paid += float(np.mean(paid))
        if self._bounds.unsure is not None:
            told = [info["uncertainty"] for info in self.locals["infos"]]
            self._unsure += float(np.mean(told))
        self._steps += 1
        if self._steps == self._bounds.window:
            self._judge()
            self._steps, self._paid, self._unsure = 0, 0.0, 0.0
        return self.stopped is None

    def _judge(self) -> None:
        paid, unsure = self._paid / self._steps, self._unsure / self._steps
        if paid > self._highest:
            self.stopped = (
                f"the dream paid {paid:.4g} a decision, beyond the {self._highest:.4g} that "
                "real episodes vouch for"
            )
        elif self._bounds.unsure is not None and unsure > self._bounds.unsure:
            self.stopped = (
                f"the model's uncertainty was {unsure:.3g} on average, beyond {self._bounds.unsure}"
            )


class Fill(BaseCallback):
    """Lets an off-policy learner that goes on fill its replay buffer by acting itself.

    For its first ``learning_starts`` decisions SB3 draws actions at random, which is what a policy
    that knows nothing needs. The buffer is as full here when its updates begin.
    """

    def __init__(self) -> None:
        super().__init__()
        self._full_at: int | None = None

    def _on_training_start(self) -> None:
        self._full_at, self._updates = self._learner.learning_starts, self._learner.gradient_steps
        self._learner.learning_starts = self._learner.gradient_steps = 0

    def _on_step(self) -> bool:
        if self._full_at is not None and self.num_timesteps > self._full_at:
            self._begin()
        return True

    def _on_training_end(self) -> None:
        self._begin()  # which is also what is saved

    def _begin(self) -> None:
        if self._full_at is not None:
            self._learner.learning_starts, self._learner.gradient_steps = (
                self._full_at,
                self._updates,
            )
            self._full_at = None

    @property
    def _learner(self) -> OffPolicyAlgorithm:
        assert isinstance(self.model, OffPolicyAlgorithm)
        return self.model


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
