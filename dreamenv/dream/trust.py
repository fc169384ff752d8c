"""How far a model is trusted: what its uncertainty costs, and where it ends an episode."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv.config import PackageConfig, TrustScale

MOST_UNSURE = 1e30
"""Units of uncertainty, cut to this so that penalties are numbers, whatever a package holds."""
TRUST_KNOBS = ("trust_penalty", "trust_limit")


def check_trust(config: PackageConfig, **knobs: Any) -> None:
    """Refuse to be asked for trust where the package has nothing to measure it by.

    Args:
        knobs: checked ones, trust's or others.

    Raises:
        ValueError: one of trust's is not 0, and the package cannot tell.
    """
    asked = next((name for name in TRUST_KNOBS if knobs.get(name)), None)
    if config.trust is None and asked is not None:
        raise ValueError(
            f"{asked} is {knobs[asked]!r}; expected 0: {config.name} (family {config.family}) "
            "cannot tell how unsure it is. Leave it out, or take a package with trust in its "
            "config.json, as those of family ensemble have."
        )


def trust_asked(config: PackageConfig, **knobs: Any) -> dict[str, float]:
    """Those of trust's knobs that are not 0, the package's defaults where none is given."""
    given = {name: knobs.get(name) for name in TRUST_KNOBS}
    held = {n: getattr(config.defaults, n) if v is None else v for n, v in given.items()}
    return {name: value for name, value in held.items() if value}


def untold(config: PackageConfig, **knobs: Any) -> PackageConfig:
    """The config of a dream that does not tell how unsure it is.

    Args:
        knobs: those that are asked for, trust's or others.

    Raises:
        ValueError: trust is asked for, or the package's default.
    """
    for name, value in trust_asked(config, **knobs).items():
        own = knobs.get(name) is None
        raise ValueError(
            f"uncertainty is False, but {name} is {value!r}"
            f"{', which is the default of ' + config.name if own else ''}; expected 0 "
            f"beside it. Leave uncertainty=False out, or set {name}=0."
        )
    off = config.defaults.model_copy(update=dict.fromkeys(TRUST_KNOBS, 0.0))
    return config.model_copy(update={"trust": None, "defaults": off})


def in_units(raw: NDArray[np.float32], scale: TrustScale) -> NDArray[np.float32]:
    """A family's own uncertainty, in units of the 95th percentile of held-out real decisions."""
    # In float64, and cut before it is divided: a stranger's unit may be next to nothing.
    units = np.minimum(raw.astype(np.float64), MOST_UNSURE * scale.unit) / scale.unit
    return units.astype(np.float32)


def beyond(
    units: NDArray[np.float32], asked: NDArray[np.float64], scale: TrustScale
) -> NDArray[np.bool_]:
    """Where uncertainty, in units, passes a ``trust_limit``; each as of
    :meth:`~dreamenv.config.TrustScale.limit`, one a lane."""
    if not asked.any():
        return np.zeros(len(asked), np.bool_)
    quantile = np.interp(asked * 100.0, np.arange(101.0), scale.quantiles)
    limit = np.where(asked > 1.0, asked * scale.quantiles[100], quantile) / scale.unit
    passed: NDArray[np.bool_] = (units > limit) & (asked > 0.0)
    return passed
