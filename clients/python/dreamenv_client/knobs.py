"""What can be set lane by lane, checked: temperature, termination, horizon and trust."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

TEMPERATURE_LIMIT = 100.0
HORIZON_LIMIT = 10_000_000
TRUST_LIMIT = 1e6
"""The greatest ``trust_penalty``, and the greatest ``trust_limit``."""
KNOBS = (
    "temperature",
    "termination",
    "termination_temperature",
    "horizon",
    "trust_penalty",
    "trust_limit",
)
"""What can be set lane by lane."""
TERMINATIONS = ("sample", "threshold", "none")
"""By the number that stands for each in arrays."""


def check_knobs(**knobs: Any) -> dict[str, Any]:
    """Knobs in Python's own types, or a refusal.

    Args:
        knobs: ``temperature``, a number from 0 to 100 or ``[low, high]``; ``termination``,
            ``"sample"``, ``"threshold"`` or ``"none"``; ``termination_temperature``, above 0 and at
            most 100; ``horizon``, from 1 to 10,000,000 decisions; ``trust_penalty`` and
            ``trust_limit``, from 0 (none) to 1,000,000.

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
    return {name: _CHECKS[name](value) for name, value in knobs.items()}


def check_starts(starts: Any) -> str:
    """Which of the bank's states episodes begin with: ``"first"``, those that began real episodes,
    or ``"any"``, of which ``"bank"`` is another name.

    Returns:
        ``"first"`` or ``"any"``.

    Raises:
        ValueError: neither. ``"data"`` is for a dream in the process that has the data.

    Examples:
        >>> check_starts("bank")
        'any'
    """
    if isinstance(starts, str) and starts == "data":
        raise ValueError(
            'starts is "data", which takes a dream in this process and data= with the folders of '
            'its episodes; expected "first" or "any". Wherever the dream is, '
            'reset(options={"observations": …, "actions": …}) starts it in real data.'
        )
    if not isinstance(starts, str) or starts not in ("first", "any", "bank"):
        raise ValueError(f'starts is {starts!r}; expected "first" or "any".')
    return "any" if starts == "bank" else starts


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


def _trust(name: str) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        number = _number(value)
        if not 0.0 <= number <= TRUST_LIMIT:
            raise ValueError(
                f"{name} is {value!r}; expected a number from 0 to {TRUST_LIMIT:,.0f}."
            )
        return number

    return check


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "temperature": _temperature,
    "termination": _termination,
    "termination_temperature": _termination_temperature,
    "horizon": _horizon,
    "trust_penalty": _trust("trust_penalty"),
    "trust_limit": _trust("trust_limit"),
}
