"""Infos: from ``[lanes, ...]`` arrays to what each kind of env hands out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def lane_infos(info: Mapping[str, NDArray[Any]], num_lanes: int) -> list[dict[str, Any]]:
    """One dict a lane: NumPy scalars, Python bools, and copies of arrays.

    Examples:
        >>> lane_infos({"clock": np.array([3, 5]), "on_track": np.array([True, False])}, 2)
        [{'clock': np.int64(3), 'on_track': True}, {'clock': np.int64(5), 'on_track': False}]
    """
    columns = [_column(values) for values in info.values()]
    if not columns:
        return [{} for _ in range(num_lanes)]
    return [dict(zip(info, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(values: NDArray[Any]) -> list[Any]:
    if values.ndim > 1:
        return [value.copy() for value in values]
    # Gymnasium's vector envs make arrays of bool from bool, but of object from np.bool_.
    return values.tolist() if values.dtype == np.bool_ else list(values)


def lane_info(info: Mapping[str, NDArray[Any]], lane: int) -> dict[str, Any]:
    """One lane's dict of :func:`lane_infos`."""
    return lane_infos({name: values[lane : lane + 1] for name, values in info.items()}, 1)[0]


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
