"""Recipes of the loop, declared as data: ``dreamenv/zoo/recipes/<env id>.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from dreamenv.errors import DataError
from dreamenv.learn_defaults import LearnDefaults
from dreamenv.strict import Strict
from dreamenv.training.mdnrnn import RNNConfig
from dreamenv.training.vae import VAEConfig

FOLDER = Path(__file__).parent / "zoo" / "recipes"
SMALLEST_ROUND = 8
"""Episodes: with the budget for fewer left, a loop ends."""
Count = Annotated[int, Field(ge=1)]
Episodes = Annotated[int, Field(ge=SMALLEST_ROUND)]


class FirstData(Strict):
    """Round 0: random held actions."""

    episodes: Episodes = 100
    hold: Count = 4
    max_decisions: Count | None = None
    patience: Count | None = None


class NextData(Strict):
    """Later rounds: the last round's policy plus exploration noise.

    The policy's mode by default: it is what gets evaluated, and a scale of noise drawn for each
    episode, from none up, shows the model both that and what lies around it.
    """

    episodes: Episodes = 50
    noise: Annotated[float, Field(ge=0, le=10)] = 0.5
    deterministic: bool = True
    random_prefix: Annotated[int, Field(ge=0)] = 0
    max_decisions: Count | None = None
    patience: Count | None = None


class Recipe(Strict):
    """What a loop does each round. Lists hold one value a round; the last one stays."""

    name: str = "Dream"
    """Of the package."""
    rounds: Count | None = None
    """At most so many, however much of the budget is left."""
    first: FirstData = FirstData()
    next: NextData = NextData()
    sizes: dict[str, int | float] = Field(default_factory=dict)
    vae_steps: list[int] = Field(default=[6000, 2000], min_length=1)
    rnn_steps: list[int] = Field(default=[4000], min_length=1)
    vae: dict[str, Any] = Field(default_factory=dict)
    """Of :class:`~dreamenv.training.vae.VAEConfig`, but its steps."""
    rnn: dict[str, Any] = Field(default_factory=dict)
    """Of :class:`~dreamenv.training.mdnrnn.RNNConfig`, but its steps."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    learn: LearnDefaults = LearnDefaults()
    evaluation_episodes: Annotated[int, Field(ge=2)] = 10
    """Real episodes that show where a round stands; counted apart, nothing is chosen by them."""

    @field_validator("vae", "rnn")
    @classmethod
    def _known(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        kind = VAEConfig if info.field_name == "vae" else RNNConfig
        known = sorted(set(kind.__dataclass_fields__) - {"steps"})
        if unknown := sorted(set(value) - set(known)):
            raise ValueError(f"expected some of {known}, got {unknown}")
        TypeAdapter(kind).validate_python(value)
        return value


def load_recipe(source: str | Path) -> Recipe:
    """The recipe of a real env id, or of a JSON file; the defaults for an id that has none.

    Raises:
        DataError: no such file, or one that does not say what a recipe says.
    """
    path = FOLDER / f"{source}.json"
    if not path.is_file():
        path = Path(source)
        if not path.is_file():
            if path.suffix == ".json":
                raise DataError(f"{path}: expected a recipe, a JSON file; found none")
            return Recipe()
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
