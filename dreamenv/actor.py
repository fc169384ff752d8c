"""Who acts while episodes are played to evaluate: a policy by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamenv.data.policies import load_policy, predict, uniform_action
from dreamenv.errors import PolicyError
from dreamenv.packages import load_config
from dreamenv.real import observation_kind

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from dreamenv.models.world_model import ObservationKind


class Actor:
    """``"random"``, or an SB3 file.

    Args:
        policy: ``"random"``, or the path of a ``.zip`` of your own (it holds pickled Python).
        dream: the package whose observations it sees.
        deterministic: act by the policy's mode; else it is sampled.

    Raises:
        PackageError, PolicyError: no such package or policy, or they do not go together.
    """

    def __init__(self, policy: str, dream: str | Path, deterministic: bool) -> None:
        config = load_config(dream)
        self.space: gym.Space[Any] = config.action.space()
        self.deterministic = deterministic
        self.obs: ObservationKind = "features"
        """The kind of observation it sees."""
        self.model: BaseAlgorithm | None = None
        if policy != "random":
            self.model = load_policy(policy)
            self.obs = observation_kind(config, self.model.observation_space, policy)
            if self.model.action_space != self.space:
                raise PolicyError(
                    f"{policy}: expected a policy over {config.name}'s actions {self.space}, "
                    f"found {self.model.action_space}; is it another dream's?"
                )

    def act(self, observation: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """The action for one observation; what is random in it comes from ``rng``."""
        if self.model is None:
            return uniform_action(self.space, rng)
        return predict(self.model, observation, self.deterministic, rng)

    def act_all(
        self, observations: NDArray[Any], rngs: Sequence[np.random.Generator]
    ) -> NDArray[Any]:
        """The actions for ``[n, *observation]``, one generator each; a policy samples its batch as
        one, which takes a tenth of the time, under the first of them."""
        if self.model is None:
            return np.stack([uniform_action(self.space, rng) for rng in rngs])
        return predict(self.model, observations, self.deterministic, rngs[0])
