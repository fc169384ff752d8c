"""The fast path's codec: messages whose arrays have one shape, as constant bytes around their data.

Steps and their replies are the same messages again and again, but for ``seq`` and what the arrays
hold. So they are put together, and taken apart, without protobuf's objects: byte for byte what
protobuf itself would write. Whatever else is on the wire is parsed by protobuf as usual.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv_client.lanes import LaneStep
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import LANE_ARRAYS, dtype_number

SEQ_TAG = b"\x09"  # field 1, fixed64
SEQ = struct.Struct("<Q")
BOOLS = b"\x00\x01"  # the bytes that a bool may be
STEP = pb.SessionRequest.DESCRIPTOR.fields_by_name["step"].number
LANES = pb.SessionReply.DESCRIPTOR.fields_by_name["lanes"].number


Field = tuple[int, str | None, np.dtype[Any], tuple[int, ...]]
"""A tensor in a message: its field number, a name if it is a named tensor, its dtype and shape."""


class Layout:
    """One shape of message: ``seq``, then one submessage of tensors.

    Args:
        field: number of the submessage in its oneof.
        tensors: in the order of their field numbers.
    """

    def __init__(self, field: int, tensors: Sequence[Field]) -> None:
        pieces: list[bytes] = []  # constant bytes before each array
        self._arrays: list[tuple[np.dtype[Any], tuple[int, ...], int]] = []
        length = 0
        for number, name, dtype, shape in tensors:
            size = math.prod(shape) * dtype.itemsize
            prefix = pb.Tensor(dtype=dtype_number(dtype), shape=shape).SerializeToString()
            prefix += _tag(3) + _varint(size) if size else b""
            if name is not None:
                named = pb.NamedTensor(name=name).SerializeToString()
                prefix = named + _tag(2) + _varint(len(prefix) + size) + prefix
            prefix = _tag(number) + _varint(len(prefix) + size) + prefix
            pieces.append(prefix)
            self._arrays.append((dtype.newbyteorder("<"), shape, size))
            length += len(prefix) + size
        pieces[0] = _tag(field) + _varint(length) + pieces[0]
        self._pieces = pieces
        self.size = 1 + SEQ.size + sum(map(len, pieces)) + sum(size for *_, size in self._arrays)
        """Bytes of a message."""
        places, at = [], 1 + SEQ.size
        for piece, (dtype, shape, size) in zip(pieces, self._arrays, strict=True):
            begin = at + len(piece)
            places.append((at, begin, begin + size, piece, dtype, shape, dtype.kind == "b"))
            at = begin + size
        self._places = places

    def encode(self, seq: int, arrays: Sequence[NDArray[Any]]) -> bytes:
        """A message.

        Args:
            arrays: of exactly the dtypes and shapes of the layout.
        """
        parts: list[Any] = [SEQ_TAG, SEQ.pack(seq)]
        for piece, array in zip(self._pieces, arrays, strict=True):
            parts.append(piece)
            parts.append(array if array.flags.c_contiguous else np.ascontiguousarray(array))
        return b"".join(parts)

    def decode(self, message: bytes | bytearray) -> tuple[int, list[NDArray[Any]]] | None:
        """``seq`` and the arrays, or None for a message of any other layout.

        The arrays look into ``message``; they can be written to if that is a bytearray.
        """
        if len(message) != self.size or message[0] != SEQ_TAG[0]:
            return None
        arrays: list[NDArray[Any]] = []
        for at, begin, after, piece, dtype, shape, bools in self._places:
            if message[at:begin] != piece:
                return None
            if bools and message[begin:after].translate(None, BOOLS):
                return None
            arrays.append(np.ndarray(shape, dtype, message, begin))
        return SEQ.unpack_from(message, 1)[0], arrays


class StepLayout:
    """``SessionRequest`` with a ``StepRequest``: actions, and a mask of lanes to reset or none.

    Args:
        lanes: how many.
        dtype: of the actions, as on the wire.
        shape: of one lane's action.
    """

    def __init__(self, lanes: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        actions: Field = (2, None, dtype, (lanes, *shape))
        self._plain = Layout(STEP, [actions])
        self._masked = Layout(STEP, [actions, (3, None, np.dtype(np.bool_), (lanes,))])

    def encode(
        self, seq: int, actions: NDArray[Any], reset: NDArray[np.bool_] | None = None
    ) -> bytes:
        """A message."""
        if reset is None:
            return self._plain.encode(seq, (actions,))
        return self._masked.encode(seq, (actions, reset))

    def decode(self, message: bytes) -> tuple[int, NDArray[Any], NDArray[np.bool_] | None] | None:
        """``seq``, actions and the mask; None for any other message."""
        decoded = self._plain.decode(message)
        if decoded is not None:
            return decoded[0], decoded[1][0], None
        decoded = self._masked.decode(message)
        return None if decoded is None else (decoded[0], decoded[1][0], decoded[1][1])


class LaneStepLayout:
    """``SessionReply`` with a ``LaneStep``.

    Args:
        like: what the lanes show: of any values.
    """

    def __init__(self, like: LaneStep) -> None:
        self._names = list(like.info)
        named: list[Field] = [
            (number, None, array.dtype, array.shape)
            for number, array in enumerate((getattr(like, name) for name in LANE_ARRAYS), 1)
        ]
        named += [(5, name, array.dtype, array.shape) for name, array in like.info.items()]
        self._layout = Layout(LANES, named)

    def encode(self, seq: int, step: LaneStep) -> bytes:
        """A message."""
        info = step.info
        return self._layout.encode(
            seq,
            [
                step.observation,
                step.reward,
                step.terminated,
                step.truncated,
                *[info[name] for name in self._names],
            ],
        )

    def decode(self, message: bytes) -> tuple[int, LaneStep] | None:
        """``seq`` and what lanes show, in memory of its own; None for any other message."""
        decoded = self._layout.decode(message)
        if decoded is None:
            return None
        seq, arrays = decoded
        # Copied one by one: where they lie in the message they are not aligned.
        observation, reward, terminated, truncated, *info = (array.copy() for array in arrays)
        named = dict(zip(self._names, info, strict=True))
        return seq, LaneStep(observation, reward, terminated, truncated, named)


def _tag(field: int) -> bytes:
    """Of a field with a length: submessage, bytes or string."""
    return _varint(field << 3 | 2)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
