"""The contract every model family meets: pure, batched functions over explicit state.

A family is maths. It knows nothing of episodes, autoreset, start banks, Gymnasium, gRPC or SB3;
those live in :mod:`dreamenv.dream`. Every tensor's first dimension is the lane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

ObservationKind = Literal["features", "latent", "pixels"]
State = dict[str, Tensor]
"""A batch of lane states by name: each tensor is ``[lanes, ...]`` and on one device."""


@dataclass(frozen=True)
class NoiseShape:
    """How many random numbers one lane needs: at each step, and once as an episode begins."""

    uniform: int
    """Uniforms in (0, 1) a step."""
    normal: int
    """Standard normals a step."""
    start_uniform: int = 0
    """Uniforms in (0, 1) an episode, handed to :meth:`WorldModel.begin`."""


@dataclass(frozen=True)
class Noise:
    """The random numbers of one step."""

    uniform: Tensor
    """float32 ``[lanes, NoiseShape.uniform]`` in (0, 1)."""
    normal: Tensor
    """float32 ``[lanes, NoiseShape.normal]``, standard normal."""


@dataclass(frozen=True)
class Imagined:
    """What one imagined step gives."""

    state: State
    reward: Tensor
    """float32 ``[lanes]``, in the real env's units."""
    termination_logit: Tensor
    """float32 ``[lanes]``: logit of the probability that this step ended the episode."""
    uncertainty: Tensor | None = None
    """float32 ``[lanes]``, or None where the family cannot tell."""


class WorldModel(Protocol):
    """A family's trained model. All functions run under ``torch.inference_mode``."""

    noise: NoiseShape
    features: int
    """Length of the features vector."""
    latent: int
    """Length of the latent vector."""

    @property
    def device(self) -> torch.device:
        """Where the weights live; arguments must be there too."""
        ...

    def begin(self, start: Mapping[str, Tensor], noise: Tensor | None = None) -> State:
        """The state for a start.

        Args:
            start: either ``{"observation": [lanes, *observation]}`` (a real first observation,
                uint8 frames or float32 vectors in the env's own units), or a bank entry: the
                tensors of ``start_states.safetensors`` that the family itself wrote, one row a
                lane.
            noise: float32 ``[lanes, noise.start_uniform]`` in (0, 1), or None for a state that
                follows real data rather than dreams: without dropout and the like, and what a
                dream draws once an episode is left for its first step to draw.
        """
        ...

    def posterior(
        self, state: State, action: Tensor, observation: Tensor, noise: Noise | None = None
    ) -> State:
        """Fold the real observation that followed ``action`` into the state.

        The posterior's mean; a sample of it if ``noise`` is given (its ``normal`` is used).

        Args:
            action: float32 ``[lanes, *action]`` in [-1, 1], or int64 ``[lanes]``.
            observation: ``[lanes, *observation]``, as of :meth:`begin`.
        """
        ...

    def step(self, state: State, action: Tensor, temperature: Tensor, noise: Noise) -> Imagined:
        """One imagined step.

        Args:
            temperature: float32 ``[lanes]``, ≥ 0; 0 is the mode, 1 the model as trained.
        """
        ...

    def observe(self, state: State, kind: ObservationKind) -> Tensor:
        """``"features"`` and ``"latent"``: float32 ``[lanes, n]``; ``"pixels"``, the
        decoded observation: ``[lanes, *observation]``, uint8 frames or float32 vectors in the env's
        own units."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The weights, by name (as of ``torch.nn.Module``)."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A model to which saying how unsure it is costs something, and that can be asked not to."""

    tells: bool
    """Whether a step gives its uncertainty."""
