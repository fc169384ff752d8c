"""What a package's ``config.json`` says, checked at the door.

Data only: nothing in it names code. Preprocessing is a closed list of named steps.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import gymnasium as gym
import numpy as np
from pydantic import Field, field_validator, model_validator

from dreamenv.learn_defaults import LearnDefaults
from dreamenv.strict import Strict, Temperature

FORMAT_VERSION: Final = 1
VECTOR_BOUND: Final = 1e6
"""Numbers of a vector observation, in the real env's units, are cut to [-bound, bound]."""
Size = Annotated[int, Field(ge=1, le=65_536)]
Keyword = Annotated[str, Field(max_length=100, pattern=r"^[a-z][a-z0-9_]*$")]
OF_GYM_MAKE = {"id", "max_episode_steps", "disable_env_checker", "render_mode"}
"""Keywords of ``gym.make`` itself, which the declaration sets in other ways."""


class ActionRepeat(Strict):
    """Hold each action for ``times`` frames; rewards add up, and only the last frame is drawn."""

    name: Literal["action_repeat"] = "action_repeat"
    times: Annotated[int, Field(ge=1, le=64)]


class Pick(Strict):
    """Of a dictionary of observations, the frame under ``key``; comes before crops and resizes."""

    name: Literal["pick"] = "pick"
    key: Annotated[str, Field(min_length=1, max_length=200)]


class HoldLastFrame(Strict):
    """Where an episode terminates, show the frame before: for envs that show nothing then.

    Models of such an env learn endings from what led to them, not from what followed.
    """

    name: Literal["hold_last_frame"] = "hold_last_frame"


class Crop(Strict):
    """Keep rows ``top:bottom`` and columns ``left:right`` of a frame, in pixels."""

    name: Literal["crop"] = "crop"
    top: Annotated[int, Field(ge=0, le=8192)] = 0
    bottom: Annotated[int, Field(ge=1, le=8192)]
    left: Annotated[int, Field(ge=0, le=8192)] = 0
    right: Annotated[int, Field(ge=1, le=8192)]


class Resize(Strict):
    """Area-average a frame to ``height`` by ``width`` pixels."""

    name: Literal["resize"] = "resize"
    height: Annotated[int, Field(ge=4, le=512)]
    width: Annotated[int, Field(ge=4, le=512)]


class RescaleAction(Strict):
    """Map [-1, 1] to [low, high] for each action, then cut to the env's own bounds."""

    name: Literal["rescale_action"] = "rescale_action"
    low: Annotated[list[float], Field(min_length=1, max_length=256)]
    high: Annotated[list[float], Field(min_length=1, max_length=256)]


PreprocessStep = Annotated[
    ActionRepeat | Pick | HoldLastFrame | Crop | Resize | RescaleAction, Field(discriminator="name")
]


class RealSpec(Strict):
    """The real env, declared as data: which one, and how it is shown to model and policy."""

    env_id: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_./-]+$")]
    """A registered Gymnasium id; module prefixes (``module:Id``) are refused."""
    kwargs: dict[Keyword, int | float | bool | None] = Field(default_factory=dict)
    """Of the env's own class. Strings are refused: they may name files or programs."""
    preprocessing: Annotated[list[PreprocessStep], Field(max_length=32, default_factory=list)]
    max_episode_steps: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Limit in decisions, after preprocessing; None leaves the env's own."""
    frames_per_second: Annotated[float, Field(gt=0, le=1000)] = 30.0
    """The env's own pace, at which films of it and of its dream are shown."""

    @field_validator("kwargs")
    @classmethod
    def _of_the_env(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OF_GYM_MAKE & set(value)):
            raise ValueError(f"expected keywords of the env's own class, got {taken}")
        return value

    @property
    def shows_endings(self) -> bool:
        """Whether the frame after an episode's last decision is a true one."""
        return not any(isinstance(step, HoldLastFrame) for step in self.preprocessing)

    @property
    def frames_per_step(self) -> int:
        """Real env steps behind one decision."""
        repeats = [s.times for s in self.preprocessing if isinstance(s, ActionRepeat)]
        return int(np.prod(repeats)) if repeats else 1

    @property
    def steps_per_second(self) -> float:
        """Decisions in a second of film, at least one."""
        return max(1.0, self.frames_per_second / self.frames_per_step)

    def repeating(self, times: int) -> RealSpec:
        """The same env with each action held ``times`` times as long, and limited to as many
        frames, rounded up to whole decisions."""
        if times == 1:
            return self
        limit = self.max_episode_steps
        return self.model_copy(
            update={
                "preprocessing": [ActionRepeat(times=times), *self.preprocessing],
                "max_episode_steps": None if limit is None else -(-limit // times),
            }
        )


class BoxAction(Strict):
    """Continuous actions, each in [-1, 1]."""

    type: Literal["box"] = "box"
    size: Annotated[int, Field(ge=1, le=256)]

    def space(self) -> gym.Space[Any]:
        return gym.spaces.Box(-1.0, 1.0, (self.size,), np.float32)


class DiscreteAction(Strict):
    """One of ``n`` actions."""

    type: Literal["discrete"] = "discrete"
    n: Annotated[int, Field(ge=1, le=4096)]

    def space(self) -> gym.Space[Any]:
        return gym.spaces.Discrete(self.n)


class DreamDefaults(Strict):
    """The knobs a dream has unless told otherwise."""

    temperature: Temperature = 1.0
    termination: Literal["sample", "threshold", "none"] = "sample"
    termination_temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Cut of ``termination="threshold"``, on the probability."""
    horizon: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    """Decisions after which an episode is truncated."""
    starts: Literal["first", "any"] = "first"
    """Start from states that began real episodes, or from any state of the bank."""
    trust_penalty: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Taken off the reward of a decision of which the model is as unsure as of the 95th percentile
    of held-out real ones; in proportion for others."""
    trust_limit: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Episodes are truncated where the model is less sure than this quantile of held-out real
    decisions, or so many times the largest if above 1; 0 for never."""


class TrustScale(Strict):
    """How unsure the model is of real decisions that it was not fitted on: what trust is measured
    by."""

    quantiles: Annotated[list[Annotated[float, Field(ge=0, le=1e30)]], Field(min_length=101)]
    """Of the family's uncertainty, at 0, 1, … 100%."""

    @model_validator(mode="after")
    def _rising(self) -> TrustScale:
        q = self.quantiles
        if len(q) != 101 or sorted(q) != q or q[95] <= 0.0:
            raise ValueError(
                "quantiles: expected 101 rising numbers, that of 95% above 0, got "
                f"{len(q)} from {q[0]} to {q[-1]}"
            )
        return self

    @property
    def unit(self) -> float:
        """The uncertainty that counts as 1: the 95th percentile."""
        return self.quantiles[95]

    def limit(self, asked: float) -> float:
        """The uncertainty, in units, beyond which a ``trust_limit`` truncates; infinity for 0.

        >>> scale = TrustScale(quantiles=[float(i) for i in range(101)])
        >>> scale.limit(0.95), scale.limit(2.0) == 2 * scale.limit(1.0), scale.limit(0)
        (1.0, True, inf)
        """
        if asked == 0.0:
            return float("inf")
        if asked > 1.0:
            return asked * self.quantiles[100] / self.unit
        return float(np.interp(asked * 100.0, np.arange(101.0), self.quantiles)) / self.unit


class PackageConfig(Strict):
    """``config.json`` of a dream package."""

    format_version: Literal[1] = FORMAT_VERSION
    name: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    family: Literal["mdnrnn", "ensemble"]
    sizes: dict[str, int | float | list[float]]
    """The family's own sizes; the family checks them."""
    observation_shape: Annotated[list[Size], Field(min_length=1, max_length=3)]
    """Shape of the preprocessed real observation."""
    observation_dtype: Literal["uint8", "float32"] = "uint8"
    """Frames are uint8; vectors, in the real env's own units, float32."""
    action: Annotated[BoxAction | DiscreteAction, Field(discriminator="type")]
    latent: Size
    features: Size
    latent_bound: Annotated[float, Field(gt=0, le=1000)]
    """Latents and features are cut to [-bound, bound]."""
    real: RealSpec
    defaults: DreamDefaults = DreamDefaults()
    trust: TrustScale | None = None
    """None where the family cannot tell how unsure it is."""
    learn: LearnDefaults = LearnDefaults()
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Real steps, seeds, versions, the command: for people, never acted on."""

    @model_validator(mode="after")
    def _within_memory(self) -> PackageConfig:
        pixels = int(np.prod(self.observation_shape))
        if pixels > 1_048_576:
            raise ValueError(f"observation_shape: expected at most 1,048,576 values, got {pixels}")
        if self.observation_dtype == "float32" and len(self.observation_shape) != 1:
            raise ValueError(
                f"observation_shape: expected [n] of float32 vectors, got {self.observation_shape}"
            )
        asked = max(self.defaults.trust_penalty, self.defaults.trust_limit)
        if self.trust is None and asked > 0.0:
            raise ValueError("trust: expected quantiles with defaults of trust_penalty or _limit")
        return self

    def observation_space(self, kind: str) -> gym.Space[Any]:
        """Space of one lane's observation: ``"features"``, ``"latent"`` or ``"pixels"``."""
        if kind == "pixels":
            shape = tuple(self.observation_shape)
            if self.observation_dtype == "float32":
                return gym.spaces.Box(-VECTOR_BOUND, VECTOR_BOUND, shape, np.float32)
            return gym.spaces.Box(0, 255, shape, np.uint8)
        if kind not in ("features", "latent"):
            raise ValueError(f'obs: expected "features", "latent" or "pixels", got {kind!r}')
        size = self.features if kind == "features" else self.latent
        return gym.spaces.Box(-self.latent_bound, self.latent_bound, (size,), np.float32)
