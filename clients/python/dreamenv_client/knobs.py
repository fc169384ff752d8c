"""What can be set lane by lane, checked: temperature, termination and horizon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

TEMPERATURE_LIMIT = 100.0
HORIZON_LIMIT = 10_000_000
KNOBS = ("temperature", "termination", "termination_temperature", "horizon")
"""What can be set lane by lane."""
TERMINATIONS = ("sample", "threshold", "none")
"""By the number that stands for each in arrays."""


def check_knobs(**knobs: Any) -> dict[str, Any]:
    """Knobs in Python's own types, or a refusal.

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
