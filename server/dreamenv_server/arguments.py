"""Masks, numbers and lanes of a request, checked before anything is done with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import from_tensor
from numpy.typing import NDArray


def mask_of(tensor: pb.Tensor, lanes: int, name: str) -> NDArray[np.bool_]:
    """A mask of lanes, bool ``[lanes]``.

    Raises:
        ValueError: it is none.
    """
    return _array_of(tensor, np.dtype(np.bool_), (lanes,), name)


def whole_numbers(
    tensor: pb.Tensor, shape: tuple[int, ...], name: str, *, least: int
) -> NDArray[np.int64]:
    """Numbers of at least ``least``, int64 of this shape.

    Raises:
        ValueError: they are not.
    """
    numbers = _array_of(tensor, np.dtype(np.int64), shape, name)
    if (numbers < least).any():
        raise ValueError(f"{name} holds {numbers.min()}; expected numbers of at least {least}.")
    return numbers


def lanes_of(request: Any, field: str) -> list[int] | None:
    """Lanes that a request names; None where it names none, which means all."""
    return list(getattr(request, field).index) if request.HasField(field) else None


def _array_of(
    tensor: pb.Tensor, dtype: np.dtype[Any], shape: tuple[int, ...], name: str
) -> NDArray[Any]:
    array = from_tensor(tensor, name)
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}; expected {dtype} {shape}.")
    return array
