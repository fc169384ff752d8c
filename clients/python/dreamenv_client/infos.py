"""Infos: from ``[lanes, ...]`` arrays to what each kind of env hands out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def lane_info(info: Mapping[str, NDArray[Any]], lane: int) -> dict[str, Any]:
    """One lane's info: NumPy scalars, Python bools, and copies of arrays.

    Examples:
        >>> lane_info({"clock": np.array([3, 5]), "on_track": np.array([True, False])}, 1)
        {'clock': np.int64(5), 'on_track': False}
    """
    own: dict[str, Any] = {}
    for name, values in info.items():
        value = values[lane]
        if isinstance(value, np.ndarray):
            own[name] = value.copy()
        else:
            # Gymnasium's vector envs make arrays of bool from bool, but of object from np.bool_.
            own[name] = bool(value) if isinstance(value, np.bool_) else value
    return own


def add_info(
    infos: dict[str, Any], info: Mapping[str, NDArray[Any]], mask: NDArray[np.bool_]
) -> dict[str, Any]:
    """Add the masked lanes' info to a vector env's infos, each name with its ``_name`` mask.

    Lanes that have no value hold 0, as in Gymnasium's own vector envs. Returns ``infos``.

    Examples:
        >>> infos = add_info({}, {"clock": np.array([3, 5])}, np.array([False, True]))
        >>> infos["clock"], infos["_clock"]
        (array([0, 5]), array([False,  True]))
    """
    if not mask.any():
        return infos
    everyone = bool(mask.all())
    for name, values in info.items():
        if everyone:
            infos[name] = values
        else:
            into = infos.setdefault(name, np.zeros_like(values))
            into[mask] = values[mask]
        infos[f"_{name}"] = infos.get(f"_{name}", False) | mask
    return infos
