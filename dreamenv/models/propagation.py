"""Which member of an ensemble a dream follows. No torch in here."""

from __future__ import annotations

from typing import Any, Literal, get_args

from dreamenv.config import PackageConfig

Propagation = Literal["ts1", "tsinf", "mean", "member"]
PROPAGATIONS: tuple[Propagation, ...] = get_args(Propagation)
"""Which member a step follows: a new one each step, one for an episode (trajectory sampling, Chua
et al. 2018, section 5.1), all of them on average, or always the best."""


def propagated(config: PackageConfig, propagation: Any) -> PackageConfig:
    """The config of a package whose dreams follow these members, whatever it says itself.

    Raises:
        ValueError: none of :data:`PROPAGATIONS`, or a family without members.
    """
    if propagation not in PROPAGATIONS:
        known = ", ".join(f'"{name}"' for name in PROPAGATIONS)
        raise ValueError(f"propagation is {propagation!r}; expected one of {known}.")
    if config.family != "ensemble":
        raise ValueError(
            f"propagation is {propagation!r}; expected it left out: {config.name} (family "
            f"{config.family}) has no members to follow, as packages of family ensemble have."
        )
    sizes = {**config.sizes, "propagation": PROPAGATIONS.index(propagation)}
    return config.model_copy(update={"sizes": sizes})
