"""The knobs of each lane: temperature, termination, horizon, trust. No torch in here."""

from __future__ import annotations

from typing import Any

import numpy as np
from dreamenv_client.knobs import HORIZON_LIMIT as HORIZON_LIMIT
from dreamenv_client.knobs import KNOBS as KNOBS
from dreamenv_client.knobs import TEMPERATURE_LIMIT as TEMPERATURE_LIMIT
from dreamenv_client.knobs import TERMINATIONS as TERMINATIONS
from dreamenv_client.knobs import TRUST_LIMIT as TRUST_LIMIT
from dreamenv_client.knobs import check_knobs as check_knobs
from dreamenv_client.knobs import check_starts as check_starts
from numpy.typing import NDArray

from dreamenv.config import PackageConfig
from dreamenv.dream.trust import check_trust


def check_flags(**flags: Any) -> None:
    """Refuse what would be taken for a yes or a no without being one, as ``"no"`` would.

    Raises:
        ValueError: no bool.
    """
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise ValueError(f"{name} is {flag!r}; expected True or False.")


def check_knobs_for(config: PackageConfig, **knobs: Any) -> dict[str, Any]:
    """Knobs in Python's own types, which this package can turn.

    Raises:
        ValueError: see :func:`dreamenv_client.knobs.check_knobs`, or
            :func:`~dreamenv.dream.trust.check_trust`.
    """
    checked = check_knobs(**knobs)
    check_trust(config, **checked)
    return checked


class Knobs:
    """One entry a lane. ``temperature`` is the one in force, drawn from [low, high] an episode.

    Args:
        config: of the package, as far as this dream goes by it.
    """

    def __init__(self, num_lanes: int, config: PackageConfig, starts: str | None = None) -> None:
        self.config, defaults = config, config.defaults
        self.temperature_low: NDArray[np.float32] = np.zeros(num_lanes, np.float32)
        self.temperature_high: NDArray[np.float32] = np.zeros(num_lanes, np.float32)
        self.temperature: NDArray[np.float32] = np.zeros(num_lanes, np.float32)
        self.termination: NDArray[np.int8] = np.zeros(num_lanes, np.int8)
        """Index into :data:`TERMINATIONS`."""
        self.termination_temperature: NDArray[np.float32] = np.ones(num_lanes, np.float32)
        self.horizon: NDArray[np.int64] = np.ones(num_lanes, np.int64)
        self.trust_penalty: NDArray[np.float32] = np.zeros(num_lanes, np.float32)
        self.trust_limit: NDArray[np.float64] = np.zeros(num_lanes, np.float64)
        """A quantile, so in float64: 0.95 is to be that of 95%."""
        starts = check_starts(defaults.starts if starts is None else starts)
        self.anywhere: NDArray[np.bool_] = np.full(num_lanes, starts == "any")
        """Whether episodes begin with any of the bank's states. Not to be set later."""
        everyone = np.arange(num_lanes)
        for name in KNOBS:
            self.set(everyone, **{name: getattr(defaults, name)})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of them, ``[lanes]`` by name."""
        return {name: array for name, array in vars(self).items() if name != "config"}

    def set(self, lanes: NDArray[np.intp], **knobs: Any) -> None:
        """Set knobs of some lanes; a range of temperatures is drawn from as an episode begins.

        Raises:
            ValueError: see :func:`check_knobs`; nothing has changed then.
        """
        checked = check_knobs_for(self.config, **knobs)
        if "temperature" in checked:
            temperature = checked["temperature"]
            if isinstance(temperature, tuple):
                self.temperature_low[lanes], self.temperature_high[lanes] = temperature
            else:
                for array in (self.temperature_low, self.temperature_high, self.temperature):
                    array[lanes] = temperature
        if "termination" in checked:
            self.termination[lanes] = TERMINATIONS.index(checked["termination"])
        for name in ("termination_temperature", "horizon", "trust_penalty", "trust_limit"):
            if name in checked:
                getattr(self, name)[lanes] = checked[name]

    def draw_temperature(self, lanes: NDArray[np.intp], uniform: NDArray[np.float32]) -> None:
        """Draw the temperatures of episodes that begin; ``uniform`` is in (0, 1)."""
        low, high = self.temperature_low[lanes], self.temperature_high[lanes]
        self.temperature[lanes] = np.minimum(low + (high - low) * uniform, high)
