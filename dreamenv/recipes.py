"""Recipes of the loop, declared as data: ``dreamenv/zoo/recipes/<env id>.json``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dreamenv.errors import DataError
from dreamenv.learn_defaults import Hyperparameters, LearnDefaults
from dreamenv.restraint import Restraint
from dreamenv.strict import Strict
from dreamenv.training.ensemble import EnsembleConfig
from dreamenv.training.mdnrnn import RNNConfig
from dreamenv.training.train import TrainConfig
from dreamenv.training.train_ensemble import EnsembleTrainConfig
from dreamenv.training.vae import VAEConfig

FOLDER = Path(__file__).parent / "zoo" / "recipes"
Count = Annotated[int, Field(ge=1)]
Episodes = Annotated[int, Field(ge=8)]


class FirstData(Strict):
    """Round 0: random held actions."""

    episodes: Episodes = 100
    real_steps: Count | None = None
    """A budget of real frames instead of a number of episodes: for short ones of unknown length."""
    hold: Count = 4
    max_decisions: Count | None = None
    patience: Count | None = None


class NextData(Strict):
    """Later rounds: the last round's policy plus exploration noise.

    The policy's mode by default: it is what gets evaluated, and a scale of noise drawn for each
    episode, from none up, shows the model both that and what lies around it.
    """

    episodes: Episodes = 50
    real_steps: Count | Annotated[list[Count], Field(min_length=1)] | None = None
    """Likewise; a list is from round 1 on. A budget below an episode's length cuts good ones."""
    noise: Annotated[float, Field(ge=0, le=10)] = 0.5
    deterministic: bool = True
    random_prefix: Annotated[int, Field(ge=0)] = 0
    max_decisions: Count | None = None
    patience: Count | None = None


class Control(Strict):
    """The model-free learner alone on the real env, beside whose curve a loop's is drawn."""

    algo: Literal["ppo", "a2c", "sac", "td3", "dqn"] = "sac"
    timesteps: Count = 20_000
    """Decisions in the real env."""
    every: Count = 1000
    """Decisions from one evaluation to the next."""
    num_envs: Annotated[int, Field(ge=1, le=256)] = 1
    hyperparameters: Hyperparameters = Hyperparameters()


class Recipe(Strict):
    """What a loop does each round. Lists hold one value a round; the last one stays."""

    name: str = "Dream"
    """Of the package."""
    family: Literal["mdnrnn", "ensemble"] = "mdnrnn"
    rounds: Count | None = None
    """At most so many, however much of the budget is left."""
    smallest_round: Count = 8
    """Episodes: with the budget for fewer left, a loop ends …"""
    smallest_budget: Count = 100
    """… or real frames, where a round is given so many."""
    frames_per_decision: Annotated[int, Field(ge=1, le=64)] = 1
    """A decision of the dream spans so many of the declared env's, and every one of those is
    recorded and learned from. Collection's holds and limits are in the env's own."""
    first: FirstData = FirstData()
    next: NextData = NextData()
    sizes: dict[str, int | float] = Field(default_factory=dict)
    vae_steps: list[int] = Field(default=[6000, 2000], min_length=1)
    rnn_steps: list[int] = Field(default=[4000], min_length=1)
    vae: dict[str, Any] = Field(default_factory=dict)
    """Of :class:`~dreamenv.training.vae.VAEConfig`, but its steps."""
    rnn: dict[str, Any] = Field(default_factory=dict)
    """Of :class:`~dreamenv.training.mdnrnn.RNNConfig`, but its steps."""
    ensemble_steps: list[int] = Field(default=[2000], min_length=1)
    ensemble: dict[str, Any] = Field(default_factory=dict)
    """Of :class:`~dreamenv.training.ensemble.EnsembleConfig`, but its steps."""
    keep_model: bool = True
    """Each round's model is trained on from the last one's; else from nothing."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    learn: LearnDefaults = LearnDefaults()
    learn_steps: list[Count] = Field(default_factory=list)
    """Decisions in the dream, of each round's learner; ``learn``'s if empty."""
    branches: list[Count] = Field(default_factory=list)
    """A schedule of rollout lengths (Janner et al. 2019): the horizon of the dream that each
    round's policy learns in; ``learn``'s if empty."""
    keep_policy: bool = False
    """Each round's policy is learnt on from the last one's; else from nothing."""
    restraint: Restraint | None = None
    """What stops a round's learner once its dream is exploited; None for nothing."""
    evaluation_episodes: Annotated[int, Field(ge=2)] = 10
    """Real episodes that show where a round stands; counted apart, nothing is chosen by them."""
    evaluation_deterministic: bool = False
    """They are played with the policy's mode; else it is sampled."""
    audit: bool = True
    """A quick audit of each round; its real frames count as those of evaluation."""
    control: Control = Control()

    def training(self, round_: int, seed: int) -> TrainConfig | EnsembleTrainConfig:
        """The fit of a round's package."""
        if self.family == "ensemble":
            return EnsembleTrainConfig(
                name=self.name,
                ensemble=replace(
                    EnsembleConfig(**self.ensemble), steps=at(self.ensemble_steps, round_)
                ),
                sizes=dict(self.sizes),
                defaults=self.defaults,
                learn=self.learn.model_dump(exclude_defaults=True),
                seed=seed,
            )
        return TrainConfig(
            name=self.name,
            vae=replace(VAEConfig(**self.vae), steps=at(self.vae_steps, round_)),
            rnn=replace(RNNConfig(**self.rnn), steps=at(self.rnn_steps, round_)),
            sizes=dict(self.sizes),
            frames_per_decision=self.frames_per_decision,
            defaults=self.defaults,
            learn=self.learn.model_dump(exclude_defaults=True),
            seed=seed,
        )

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.family == "ensemble" and self.frames_per_decision != 1:
            raise ValueError(
                f"frames_per_decision: expected 1 of the family ensemble, got "
                f"{self.frames_per_decision}; declare an action_repeat of the env instead"
            )
        if self.learn.algo == "cma" and (self.keep_policy or self.restraint is not None):
            raise ValueError("cma: expected neither keep_policy nor restraint, got one of them")
        return self

    @field_validator("vae", "rnn", "ensemble")
    @classmethod
    def _known(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        kinds: dict[str, Any] = {"vae": VAEConfig, "rnn": RNNConfig, "ensemble": EnsembleConfig}
        kind = kinds[str(info.field_name)]
        known = sorted(set(kind.__dataclass_fields__) - {"steps"})
        if unknown := sorted(set(value) - set(known)):
            raise ValueError(f"expected some of {known}, got {unknown}")
        TypeAdapter(kind).validate_python(value)
        return value


def own_recipe(env_id: str) -> Recipe:
    """The recipe that ships for a real env; the defaults for one that has none."""
    path = FOLDER / f"{env_id}.json"
    return load_recipe(path) if path.is_file() else Recipe()


def load_recipe(source: str | Path) -> Recipe:
    """The recipe that ships for a real env's id, or that of a JSON file.

    Raises:
        DataError: neither is there, or it does not say what a recipe says.
    """
    path = FOLDER / f"{source}.json"
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json")))
        raise DataError(f"{source}: expected a recipe, a JSON file or one of {known}; found none")
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"{path}: {error}") from error


def at(values: list[int], round_: int) -> int:
    """The round's value: the last one stays.

    >>> [at([3, 2], r) for r in range(3)]
    [3, 2, 2]
    """
    return values[min(round_, len(values) - 1)]
