"""Arrays to `Tensor` messages and back, as the proto words it; and actions, from a `Space`."""

from __future__ import annotations

from typing import Any

import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb

DTYPES = {
    pb.DTYPE_BOOL: np.dtype(np.bool_),
    pb.DTYPE_UINT8: np.dtype(np.uint8),
    pb.DTYPE_INT8: np.dtype(np.int8),
    pb.DTYPE_INT32: np.dtype("<i4"),
    pb.DTYPE_INT64: np.dtype("<i8"),
    pb.DTYPE_FLOAT16: np.dtype("<f2"),
    pb.DTYPE_FLOAT32: np.dtype("<f4"),
    pb.DTYPE_FLOAT64: np.dtype("<f8"),
}
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


def tensor(values: Any, dtype: Any = None) -> pb.Tensor:
    array = np.asarray(values, dtype)
    return pb.Tensor(dtype=NUMBERS[array.dtype], shape=array.shape, data=array.tobytes("C"))


def array(message: pb.Tensor) -> np.ndarray:
    dtype = DTYPES[message.dtype]
    assert len(message.data) == int(np.prod(message.shape, dtype=np.int64)) * dtype.itemsize
    return np.frombuffer(message.data, dtype).reshape(message.shape)


def bools(*values: bool) -> pb.Tensor:
    return tensor(np.array(values, np.bool_))


def seeds(*values: int) -> pb.Tensor:
    return tensor(np.array(values, np.int64))


def bounds(box: pb.Box) -> tuple[np.ndarray, np.ndarray]:
    """Low and high, each of the box's whole shape."""
    shape = tuple(box.shape)
    return np.broadcast_to(array(box.low), shape), np.broadcast_to(array(box.high), shape)


def action_shape(space: pb.Space) -> tuple[int, ...]:
    return tuple(space.box.shape) if space.HasField("box") else ()


def some_actions(space: pb.Space, luck: int, *batch: int) -> np.ndarray:
    """Valid actions ``[*batch, *action]``, a function of ``luck``."""
    rng = np.random.default_rng(luck)
    if space.HasField("discrete"):
        start, n = space.discrete.start, space.discrete.n
        return rng.integers(start, start + n, batch, np.int64)
    low, high = bounds(space.box)
    drawn = rng.uniform(low.clip(-10), high.clip(None, 10), (*batch, *low.shape))
    return drawn.astype(DTYPES[space.box.dtype]).clip(low, high)
