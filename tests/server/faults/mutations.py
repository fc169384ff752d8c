"""Messages that nobody should send: valid ones, bent field by field or byte by byte."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

INTEGERS = (0, 1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, -1, -2)
INTEGERS += (-(2**31), -(2**63))
FLOATS = (0.0, -0.0, -1.0, 1e-320, 0.5, 100.0, 101.0, 1e300, float("inf"), -float("inf"))
FLOATS += (float("nan"),)
RANGES = {
    Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    Field.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT32: (0, 2**32 - 1),
    Field.CPPTYPE_UINT64: (0, 2**64 - 1),
}
TEXTS = ("", "x", "features", "pixels", "latent", "sample", "none", "\0", "é" * 50, "../" * 20)
LONGEST = 4096
"""Bytes or entries that a mutation adds at most: few cases are to be big, so that many fit."""


class Mutations:
    """Bends messages. The same seed bends them alike."""

    def __init__(self, seed: int) -> None:
        self.luck = random.Random(seed)

    def bend(self, message: Message, times: int | None = None) -> Message:
        """The message, which is changed in some places."""
        for _ in range(times if times is not None else self.luck.choice((1, 1, 1, 2, 3))):
            self._bend_once(message)
        return message

    def bytes(self, data: bytes) -> bytes:
        """Data with some bytes changed, left out, doubled or added."""
        luck, bent = self.luck, bytearray(data)
        for _ in range(luck.choice((1, 1, 2, 5))):
            at = luck.randrange(len(bent) + 1)
            match luck.randrange(5):
                case 0 if bent:
                    bent[at % len(bent)] ^= 1 << luck.randrange(8)
                case 1:
                    del bent[at : at + luck.choice((1, 2, 8, LONGEST))]
                case 2:
                    bent[at:at] = luck.randbytes(luck.choice((1, 2, 8, 64)))
                case 3:
                    bent[at:at] = bent[at : at + 64]
                case _:
                    bent[at : at + 4] = luck.choice((b"\xff\xff\xff\x7f", b"\x80" * 9, b"\0\0\0\0"))
        return bytes(bent)

    def _bend_once(self, message: Message) -> None:
        """Walk down to some field, set or not, and change it."""
        luck = self.luck
        while True:
            field = luck.choice(message.DESCRIPTOR.fields)
            if field.message_type is None:
                self._bend_field(message, field)
                return
            if field.is_repeated:
                held = getattr(message, field.name)
                if not held or luck.random() < 0.2:
                    held.add()
                elif luck.random() < 0.2:
                    del held[luck.randrange(len(held))]
                    return
                message = luck.choice(held)
                continue
            if luck.random() < 0.15:
                message.ClearField(field.name)
                return
            getattr(message, field.name).SetInParent()
            message = getattr(message, field.name)

    def _bend_field(self, message: Message, field: Any) -> None:
        luck = self.luck
        if luck.random() < 0.1:
            message.ClearField(field.name)
        elif not field.is_repeated:
            setattr(message, field.name, self._value(field, getattr(message, field.name)))
        else:
            held = list(getattr(message, field.name))
            match luck.randrange(5):
                case 0 if held:
                    held.pop(luck.randrange(len(held)))
                case 1 if held:
                    held *= luck.choice((2, 2, LONGEST // len(held) + 1))
                case 2:
                    held = [self._value(field, 0) for _ in range(luck.randrange(10))]
                case 3 if held:
                    held[luck.randrange(len(held))] = self._value(field, 0)
                case _:
                    held.insert(luck.randrange(len(held) + 1), self._value(field, 0))
            message.ClearField(field.name)
            getattr(message, field.name).extend(held)

    def _value(self, field: Any, before: Any) -> Any:
        luck = self.luck
        match field.cpp_type:
            case Field.CPPTYPE_BOOL:
                return not before
            case Field.CPPTYPE_ENUM:
                return luck.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77, 2**31 - 1, -1))
            case Field.CPPTYPE_DOUBLE | Field.CPPTYPE_FLOAT:
                return luck.choice(FLOATS)
            case Field.CPPTYPE_STRING:
                if field.type == Field.TYPE_BYTES:
                    return self._bent_bytes(before or b"")
                return luck.choice((*TEXTS, before[:-1], before + "x"))
            case kind:
                low, high = RANGES[kind]
                near = (before + 1, before - 1, before * 2, before)
                return max(low, min(high, luck.choice((*INTEGERS, *near))))

    def _bent_bytes(self, data: bytes) -> bytes:
        luck = self.luck
        match luck.randrange(5):
            case 0:
                return b""
            case 1:
                return luck.randbytes(luck.choice((1, 3, 4, 16, 100, LONGEST)))
            case 2 if len(data) >= 4:  # numbers that are none, or far too great
                at = 4 * luck.randrange(len(data) // 4)
                odd = luck.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff" * 4))
                return data[:at] + odd + data[at + 4 :]
            case _:
                return self.bytes(data)


def http2_garbage(luck: random.Random) -> bytes:
    """Bytes for the port that are hardly gRPC: with or without a good beginning."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = b"\0\0\0\x04\0\0\0\0\0"
    match luck.randrange(6):
        case 0:
            return luck.randbytes(luck.randrange(1, 200))
        case 1:
            return b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * luck.randrange(1, 20)
        case 2:
            return b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + luck.randbytes(200)  # TLS
        case 3:
            return preface + luck.randbytes(luck.randrange(1, 300))
        case 4:
            return preface + settings + b"".join(_frame(luck) for _ in range(luck.randrange(1, 30)))
        case _:
            return preface[: luck.randrange(len(preface))]


def _frame(luck: random.Random) -> bytes:
    """A frame of HTTP/2 whose length may be a lie."""
    body = luck.randbytes(luck.choice((0, 1, 4, 8, 50)))
    length = luck.choice((len(body), len(body), len(body), 0, 2**14, 2**24 - 1))
    kind, flags, stream = luck.randrange(12), luck.randrange(256), luck.choice((0, 1, 2, 3, 2**31))
    head = length.to_bytes(3, "big") + bytes((kind, flags))
    return head + (stream % 2**32).to_bytes(4, "big") + body
