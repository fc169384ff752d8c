"""A Minari dataset's episodes as ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dreamenv.config import BoxAction, DiscreteAction, RealSpec, RescaleAction
from dreamenv.data.rollouts import Episode
from dreamenv.errors import DataError
from dreamenv.frame_steps import FrameSteps

if TYPE_CHECKING:
    from minari import MinariDataset

KEY = "dreamenv_real"
"""Metadata of an exported dataset: the RealSpec, as JSON, that its frames and actions are seen
through."""


class MinariReader:
    """A Minari dataset's episodes as ours."""

    def __init__(self, dataset: MinariDataset, real: RealSpec | None) -> None:
        self._dataset = dataset
        own = dataset.storage.metadata.get(KEY)
        raw = own is None
        if own is not None:
            stored = _stored_spec(dataset.id, own)
            if real is not None and real != stored:
                raise DataError(f"{dataset.id}: expected real {stored}, its own, got {real}")
            real = stored
        elif real is None:
            raise DataError(
                f"{dataset.id}: expected real, the env behind it: it was not exported by dreamenv, "
                f"and says env_spec {dataset.env_spec}"
            )
        elif real.frames_per_step != 1:
            raise DataError(
                f"{dataset.id}: expected real without action_repeat, got one of "
                f"{real.frames_per_step}: recorded actions cannot be held after the fact"
            )
        self.real = real
        seen = real if raw else real.model_copy(update={"preprocessing": []})
        self.frames = FrameSteps(seen, dataset.observation_space)
        space = dataset.action_space
        self.action: BoxAction | DiscreteAction
        if isinstance(space, gym.spaces.Discrete) and space.start == 0:
            self.action = DiscreteAction(n=int(space.n))
        elif isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
            self.action = BoxAction(size=space.shape[0])
            self._low, self._high = space.low.astype(np.float64), space.high.astype(np.float64)
            for step in seen.preprocessing:
                if isinstance(step, RescaleAction):
                    self._low, self._high = np.array(step.low), np.array(step.high)
        else:
            raise DataError(
                f"{dataset.id}: expected Discrete (from 0) or one-dimensional Box actions, "
                f"got {space}"
            )

    def episodes(self, numbers: range, policy: str) -> Iterator[Episode]:
        """Episodes by number, one at a time."""
        notes = self._dataset.storage.get_episode_metadata(numbers)
        recorded = self._dataset.iterate_episodes(numbers)
        for number, episode, note in zip(numbers, recorded, notes, strict=True):
            length = len(episode.rewards)
            ends = np.asarray(episode.terminations) | np.asarray(episode.truncations)
            if length < 1 or len(episode.observations) != length + 1 or ends[:-1].any():
                raise DataError(
                    f"{self._dataset.id}: episode {number}: expected T ≥ 1 steps, T + 1 "
                    f"observations and no end before the last, found {length} steps, "
                    f"{len(episode.observations)} observations, ends at {np.flatnonzero(ends)}"
                )
            yield Episode(
                frames=np.stack([self.frames(frame) for frame in episode.observations]),
                actions=self._actions(np.asarray(episode.actions), number),
                rewards=np.asarray(episode.rewards, np.float32),
                terminated=bool(episode.terminations[-1]),
                truncated=bool(episode.truncations[-1]),
                seed=int(note.get("seed", -1)),
                policy=str(note.get("policy", policy)),
                real_steps=int(note.get("real_steps", length)),
            )

    def _actions(self, actions: NDArray[Any], number: int) -> NDArray[Any]:
        if isinstance(self.action, DiscreteAction):
            return actions.astype(np.int64)
        values = actions.astype(np.float64)
        # As they are where that is what they mean: mapped there and back, some would round.
        if (self._low != -1.0).any() or (self._high != 1.0).any():
            values = (values - self._low) / (self._high - self._low) * 2.0 - 1.0
        if not (np.abs(values) <= 1.0 + 1e-6).all():
            raise DataError(
                f"{self._dataset.id}: episode {number}: expected actions in {self._low.tolist()} … "
                f"{self._high.tolist()}, found {actions.min()} to {actions.max()}; declare a "
                "rescale_action step with their true low and high"
            )
        return values.clip(-1.0, 1.0).astype(np.float32)


def _stored_spec(dataset_id: str, text: object) -> RealSpec:
    try:
        return RealSpec.model_validate_json(str(text))
    except ValidationError as error:
        raise DataError(f"{dataset_id}: metadata {KEY}: {error}") from error
