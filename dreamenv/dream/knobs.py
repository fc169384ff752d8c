"""The knobs of each lane: temperature, termination and horizon. No torch in here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv.config import DreamDefaults

TEMPERATURE_LIMIT = 100.0
HORIZON_LIMIT = 10_000_000
KNOBS = ("temperature", "termination", "termination_temperature", "horizon")
"""What can be set lane by lane."""
TERMINATIONS = ("sample", "threshold", "none")
"""By the number that stands for each in arrays."""


def check_knobs(**knobs: Any) -> dict[str, Any]:
    """Knobs as :class:`Knobs` stores them, or a refusal.

    Args:
        knobs: ``temperature``, a number from 0 to 100 or ``[low, high]``; ``termination``,
            ``"sample"``, ``"threshold"`` or ``"none"``; ``termination_temperature``, above 0 and at
            most 100; ``horizon``, from 1 to 10,000,000 decisions.

    Returns:
        The same, in Python's own types; ``temperature`` stays a number or becomes a tuple.

    Raises:
        ValueError: unknown knob or bad value.

    Examples:
        >>> check_knobs(temperature=[0.5, 1.3], horizon=250)
        {'temperature': (0.5, 1.3), 'horizon': 250}
        >>> check_knobs(temperature=-1)
        Traceback (most recent call last):
            ...
        ValueError: temperature is -1; expected a number from 0 to 100, or [low, high].
    """
    unknown = sorted(set(knobs) - set(KNOBS))
    if unknown:
        raise ValueError(f"unknown knobs {unknown}; expected some of {list(KNOBS)}.")
    checks = dict(
        zip(KNOBS, (_temperature, _termination, _termination_temperature, _horizon), strict=True)
    )
    return {name: checks[name](value) for name, value in knobs.items()}


def check_starts(starts: Any) -> str:
    """Which of the bank's states episodes begin with: ``"first"`` or ``"any"``.

    Raises:
        ValueError: neither.
    """
    if not isinstance(starts, str) or starts not in ("first", "any"):
        raise ValueError(f'starts is {starts!r}; expected "first" or "any".')
    return starts


def check_compile(compile: Any) -> None:
    """Refuse what would be taken for a yes or a no without being one, as ``"no"`` would.

    Raises:
        ValueError: no bool.
    """
    if not isinstance(compile, bool):
        raise ValueError(f"compile is {compile!r}; expected True or False.")


class Knobs:
    """One entry a lane. ``temperature`` is the one in force, drawn from [low, high] an episode."""

    def __init__(self, num_lanes: int, defaults: DreamDefaults, starts: str | None = None) -> None:
        self.temperature_low: NDArray[np.float32] = np.zeros(num_lanes, np.float32)
        self.temperature_high: NDArray[np.float32] = np.zeros(num_lanes, np.float32)
        self.temperature: NDArray[np.float32] = np.zeros(num_lanes, np.float32)
        self.termination: NDArray[np.int8] = np.zeros(num_lanes, np.int8)
        """Index into :data:`TERMINATIONS`."""
        self.termination_temperature: NDArray[np.float32] = np.ones(num_lanes, np.float32)
        self.horizon: NDArray[np.int64] = np.ones(num_lanes, np.int64)
        starts = check_starts(defaults.starts if starts is None else starts)
        self.anywhere: NDArray[np.bool_] = np.full(num_lanes, starts == "any")
        """Whether episodes begin with any of the bank's states. Not to be set later."""
        everyone = np.arange(num_lanes)
        for name in KNOBS:
            self.set(everyone, **{name: getattr(defaults, name)})

    def set(self, lanes: NDArray[np.intp], **knobs: Any) -> None:
        """Set knobs of some lanes; a range of temperatures is drawn from as an episode begins.

        Raises:
            ValueError: see :func:`check_knobs`; nothing has changed then.
        """
        checked = check_knobs(**knobs)
        if "temperature" in checked:
            temperature = checked["temperature"]
            if isinstance(temperature, tuple):
                self.temperature_low[lanes], self.temperature_high[lanes] = temperature
            else:
                for array in (self.temperature_low, self.temperature_high, self.temperature):
                    array[lanes] = temperature
        if "termination" in checked:
            self.termination[lanes] = TERMINATIONS.index(checked["termination"])
        for name in ("termination_temperature", "horizon"):
            if name in checked:
                getattr(self, name)[lanes] = checked[name]

    def draw_temperature(self, lanes: NDArray[np.intp], uniform: NDArray[np.float32]) -> None:
        """Draw the temperatures of episodes that begin; ``uniform`` is in (0, 1)."""
        low, high = self.temperature_low[lanes], self.temperature_high[lanes]
        self.temperature[lanes] = np.minimum(low + (high - low) * uniform, high)


def _number(value: Any) -> float:
    """A real number, or NaN for anything else."""
    real = isinstance(value, int | float | np.integer | np.floating)
    return float(value) if real and not isinstance(value, bool) else math.nan


def _temperature(value: Any) -> float | tuple[float, float]:
    pair = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    low, high = (value if len(value) == 2 else (None, None)) if pair else (value, value)
    low, high = _number(low), _number(high)
    if not 0.0 <= low <= high <= TEMPERATURE_LIMIT:
        raise ValueError(
            f"temperature is {value!r}; expected a number from 0 to {TEMPERATURE_LIMIT:g}, "
            "or [low, high]."
        )
    return (low, high) if pair else low


def _termination(value: Any) -> str:
    if not isinstance(value, str) or value not in TERMINATIONS:
        expected = ", ".join(f'"{name}"' for name in TERMINATIONS)
        raise ValueError(f"termination is {value!r}; expected one of {expected}.")
    return value


def _termination_temperature(value: Any) -> float:
    number = _number(value)
    # Compared as float32, as which it is used: 1e-60 would divide by 0 there.
    if not 0.0 < float(np.float32(min(number, 1e3))) <= TEMPERATURE_LIMIT:
        raise ValueError(
            f"termination_temperature is {value!r}; expected a number above 0 and at most "
            f"{TEMPERATURE_LIMIT:g}."
        )
    return number


def _horizon(value: Any) -> int:
    number = _number(value)
    if not 1 <= number <= HORIZON_LIMIT or number != int(number):
        raise ValueError(
            f"horizon is {value!r}; expected a whole number from 1 to {HORIZON_LIMIT:,}."
        )
    return int(number)
