"""What a package says of how to learn in it: a closed list, bounded, since it may be a stranger's.

Nothing here names a file, a class or code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_serializer, model_validator

from dreamenv.strict import Strict, Temperature

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Algorithm = Literal["ppo", "a2c", "sac", "td3", "dqn", "cma"]
LARGEST_ROLLOUT = 2**24
"""Decisions of all lanes between two updates."""


def _named(starts: Any) -> Any:
    """Starts by one name, of those that need no folder."""
    if starts == "data":
        raise ValueError(
            'expected "first" or "any": "data" needs folders, which no package names; give them to '
            'dreamenv learn --data, or to learn(knobs={"starts": "data", "data": FOLDERS})'
        )
    return "any" if starts == "bank" else starts


class LearnKnobs(Strict):
    """Keyword arguments of the dream that the learner trains in."""

    obs: Literal["features", "latent", "pixels"] | None = None
    temperature: Temperature | None = None
    termination: Literal["sample", "threshold", "none"] | None = None
    termination_temperature: Annotated[float, Field(gt=0, le=100)] | None = None
    horizon: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    starts: Annotated[Literal["first", "any"], BeforeValidator(_named)] | None = None
    """``"bank"`` is another name of ``"any"``."""
    trust_penalty: Annotated[float, Field(ge=0, le=1e6)] | None = None
    trust_limit: Annotated[float, Field(ge=0, le=1e6)] | None = None
    uncertainty: bool | None = None


class Hyperparameters(Strict):
    """Of Stable-Baselines3's algorithms, by their own names there, and of CMA-ES
    (:class:`dreamenv.cma_es.CMAConfig`)."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    final_learning_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    n_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    n_epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    gamma: Share | None = None
    gae_lambda: Share | None = None
    clip_range: Positive | None = None
    ent_coef: (
        Annotated[float, Field(ge=0, le=1000)]
        | Annotated[str, Field(pattern=r"^auto(_[0-9]{1,3}(\.[0-9]{1,6})?)?$")]
        | None
    ) = None
    vf_coef: Annotated[float, Field(ge=0, le=1000)] | None = None
    max_grad_norm: Positive | None = None
    normalize_advantage: bool | None = None
    normalize_reward: bool | None = None
    use_sde: bool | None = None
    buffer_size: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    learning_starts: Annotated[int, Field(ge=0, le=10**9)] | None = None
    train_freq: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    gradient_steps: Annotated[int, Field(ge=-1, le=100_000)] | None = None
    tau: Share | None = None
    policy_delay: Annotated[int, Field(ge=1, le=1000)] | None = None
    target_update_interval: Annotated[int, Field(ge=1, le=10**9)] | None = None
    exploration_fraction: Share | None = None
    exploration_initial_eps: Share | None = None
    exploration_final_eps: Share | None = None
    net_arch: Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(max_length=16)] | None = (
        None
    )
    log_std_init: Annotated[float, Field(ge=-20, le=5)] | None = None
    population: Annotated[int, Field(ge=4, le=65_536)] | None = None
    episodes: Annotated[int, Field(ge=1, le=65_536)] | None = None
    sigma: Positive | None = None
    diagonal: bool | None = None


class LearnDefaults(Strict):
    """What ``dreamenv learn`` uses unless told otherwise, so that the one line transfers."""

    algo: Algorithm = "ppo"
    timesteps: Annotated[int, Field(ge=1, le=10**10)] = 1_000_000
    num_envs: Annotated[int, Field(ge=1, le=65_536)] = 256
    dream: LearnKnobs = LearnKnobs()
    hyperparameters: Hyperparameters = Hyperparameters()

    @field_serializer("dream", "hyperparameters")
    def _given(self, value: Strict) -> dict[str, Any]:
        return value.model_dump(exclude_none=True)

    @model_validator(mode="after")
    def _within_memory(self) -> LearnDefaults:
        h = self.hyperparameters
        rollout = self.num_envs * (h.n_steps or 1)
        lanes = (h.population or 1) * (h.episodes or 1)
        if max(rollout, lanes) > LARGEST_ROLLOUT:
            raise ValueError(
                f"expected num_envs · n_steps and population · episodes of at most "
                f"{LARGEST_ROLLOUT:,}, got {rollout:,} and {lanes:,}"
            )
        return self

    @property
    def knobs(self) -> dict[str, Any]:
        """The dream's keyword arguments that are given."""
        return self.dream.model_dump(exclude_none=True)

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters that are given."""
        return self.hyperparameters.model_dump(exclude_none=True)


def parse_settings(items: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``NAME=VALUE`` each, values as in JSON, as knobs of the dream and hyperparameters.

    >>> parse_settings(["obs=latent", "temperature=[0.8, 1.2]", "gamma=0.98"])
    ({'obs': 'latent', 'temperature': [0.8, 1.2]}, {'gamma': 0.98})

    Raises:
        ValueError: no such name, or a value it does not take.
    """
    found: dict[type[Strict], dict[str, Any]] = {LearnKnobs: {}, Hyperparameters: {}}
    for item in items:
        name, equals, text = item.partition("=")
        kind = next((kind for kind in found if name in kind.model_fields), None)
        if not equals or kind is None:
            known = ", ".join(name for kind in found for name in kind.model_fields)
            raise ValueError(f"expected NAME=VALUE with one of {known}; got {item!r}")
        try:
            value: Any = json.loads(text)
        except ValueError:
            value = text
        found[kind][name] = value
    for kind, values in found.items():
        try:
            kind(**values)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{first['loc'][0]}: got {first['input']!r}; {first['msg']}") from None
    return found[LearnKnobs], found[Hyperparameters]
