"""Arrays and what is made of them, as messages and back. What comes from others is checked."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv_client.knobs import KNOBS
from dreamenv_client.lanes import LaneStep
from dreamenv_client.v1 import dream_pb2 as pb

DTYPES: dict[pb.DType, np.dtype[Any]] = {
    pb.DTYPE_BOOL: np.dtype("?"),
    pb.DTYPE_UINT8: np.dtype("u1"),
    pb.DTYPE_INT8: np.dtype("i1"),
    pb.DTYPE_INT32: np.dtype("<i4"),
    pb.DTYPE_INT64: np.dtype("<i8"),
    pb.DTYPE_FLOAT16: np.dtype("<f2"),
    pb.DTYPE_FLOAT32: np.dtype("<f4"),
    pb.DTYPE_FLOAT64: np.dtype("<f8"),
}
"""NumPy's dtype of each of the wire's."""
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
MOST_DIMENSIONS = 8
LANE_ARRAYS = ("observation", "reward", "terminated", "truncated")


def dtype_number(dtype: np.dtype[Any]) -> pb.DType:
    """The wire's number of a dtype.

    Raises:
        ValueError: the wire has none for it.
    """
    number = NUMBERS.get(dtype.newbyteorder("<"))
    if number is None:
        known = ", ".join(sorted(str(one) for one in NUMBERS))
        raise ValueError(f"dtype {dtype} does not travel; expected one of {known}.")
    return number


def to_tensor(array: Any) -> pb.Tensor:
    """An array as a message.

    Raises:
        ValueError: a dtype that does not travel.
    """
    array = np.asarray(array)
    number = dtype_number(array.dtype)
    return pb.Tensor(
        dtype=number, shape=array.shape, data=array.astype(DTYPES[number], copy=False).tobytes()
    )


def from_tensor(tensor: pb.Tensor, name: str = "the tensor") -> NDArray[Any]:
    """A message as an array, which can be written to.

    Args:
        tensor: may come from a stranger; no memory is taken beyond what it holds itself.
        name: what to call it in an error.

    Raises:
        ValueError: an unknown dtype, too many dimensions, data that is not as long as the shape
            says, or a bool that is neither 0 nor 1.
    """
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        raise ValueError(
            f"{name} has dtype number {tensor.dtype}; expected one of {sorted(DTYPES)}."
        )
    shape = tuple(tensor.shape)
    if len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"{name} has {len(shape)} dimensions; expected {MOST_DIMENSIONS} at most.")
    data = tensor.data
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise ValueError(
            f"{name} holds {len(data)} bytes; expected {expected} for {dtype} of shape {shape}."
        )
    if dtype.kind == "b" and data.strip(b"\x00\x01"):
        raise ValueError(f"{name} holds a bool that is neither 0 nor 1.")
    return np.frombuffer(bytearray(data), dtype).reshape(shape)


def to_named(arrays: Mapping[str, NDArray[Any]]) -> list[pb.NamedTensor]:
    """Arrays by name as messages, in their order."""
    return [pb.NamedTensor(name=name, tensor=to_tensor(array)) for name, array in arrays.items()]


def from_named(named: Iterable[pb.NamedTensor]) -> dict[str, NDArray[Any]]:
    """Messages as arrays by name.

    Raises:
        ValueError: a name that comes twice, or see :func:`from_tensor`.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for one in named:
        if one.name in arrays:
            raise ValueError(f"{one.name[:60]!r} comes twice; expected each name once.")
        arrays[one.name] = from_tensor(one.tensor, one.name[:60])
    return arrays


def to_lane_step(step: LaneStep) -> pb.LaneStep:
    """What lanes show, as a message."""
    arrays = {name: to_tensor(getattr(step, name)) for name in LANE_ARRAYS}
    return pb.LaneStep(info=to_named(step.info), **arrays)


def from_lane_step(message: pb.LaneStep) -> LaneStep:
    """A message as what lanes show.

    Raises:
        ValueError: see :func:`from_tensor`.
    """
    arrays = {name: from_tensor(getattr(message, name), name) for name in LANE_ARRAYS}
    return LaneStep(info=from_named(message.info), **arrays)


def to_lanes(lanes: Iterable[int] | None) -> pb.LaneIndices | None:
    """Lane numbers as a message; None, all lanes, is left out of a message."""
    return None if lanes is None else pb.LaneIndices(index=[int(lane) for lane in lanes])


def to_seeds(seeds: Sequence[int | None] | None) -> pb.Tensor | None:
    """Seeds, one a lane, as a message: -1 for None; None, no seeds, is left out of a message."""
    if seeds is None:
        return None
    return to_tensor(np.array([-1 if seed is None else int(seed) for seed in seeds], np.int64))


def to_knobs(knobs: Mapping[str, Any]) -> pb.Knobs:
    """Knobs, as ``set_knobs`` takes them, as a message. Those that are None are left out.

    Raises:
        ValueError: an unknown knob, or a value of the wrong type.
    """
    message = pb.Knobs()
    for name, value in knobs.items():
        if name not in KNOBS:
            raise ValueError(f"unknown knob {name!r}; expected one of {list(KNOBS)}.")
        if value is None:
            continue
        try:
            if name == "horizon":
                message.horizon = operator.index(value)
            elif name != "temperature":
                setattr(message, name, value)
            elif isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
                low, high = value
                message.drawn_temperature.low = float(low)
                message.drawn_temperature.high = float(high)
            else:
                message.fixed_temperature = value
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} is {value!r}: {error}") from error
    return message


def from_knobs(message: pb.Knobs) -> dict[str, Any]:
    """A message as knobs, unchecked."""
    knobs: dict[str, Any] = {}
    which = message.WhichOneof("temperature")
    if which == "fixed_temperature":
        knobs["temperature"] = message.fixed_temperature
    elif which == "drawn_temperature":
        knobs["temperature"] = (message.drawn_temperature.low, message.drawn_temperature.high)
    for name in KNOBS:
        if name != "temperature" and message.HasField(name):
            knobs[name] = getattr(message, name)
    return knobs


def to_options(options: Mapping[str, Any] | None) -> pb.Options | None:
    """The options of a reset as a message; None or empty is left out of a message.

    Raises:
        ValueError: an unknown option, or no array.
    """
    if not options:
        return None
    unknown = sorted(set(options) - {"start", "observations", "actions"}, key=repr)
    if unknown:
        raise ValueError(
            f"options: unknown {unknown}; expected start, or observations (with actions)."
        )
    arrays = {name: np.asarray(value) for name, value in options.items()}
    if "start" in arrays and arrays["start"].dtype.kind in "iu":
        arrays["start"] = arrays["start"].astype(np.int64)
    return pb.Options(**{name: to_tensor(array) for name, array in arrays.items()})


def from_options(message: pb.Options) -> dict[str, NDArray[Any]]:
    """A message as the options of a reset, unchecked but for :func:`from_tensor`."""
    return {
        name: from_tensor(getattr(message, name), f"options: {name}")
        for name in ("start", "observations", "actions")
        if message.HasField(name)
    }
