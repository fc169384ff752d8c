"""Why a call is refused, as a status code and a message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc
from dreamenv_client.v1 import dream_pb2 as pb
from google.protobuf.message import DecodeError, Message

from dreamenv_server.pool import NoLanes
from dreamenv_server.quotas import QuotaExceeded

T = TypeVar("T", bound=Message)
LONGEST = 1000
"""Characters of a message: it may quote what a stranger sent."""
NUMBERS: dict[grpc.StatusCode, int] = {code: code.value[0] for code in grpc.StatusCode}


class Refused(Exception):
    """A call that is not carried out; nothing has changed."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        """``message``: expected, actual and the fix."""
        super().__init__(message)
        self.code = code


def code_of(error: BaseException) -> grpc.StatusCode:
    """The status code of what was raised while a call was checked or carried out."""
    if isinstance(error, Refused):
        return error.code
    if isinstance(error, QuotaExceeded | NoLanes):
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    if isinstance(error, ValueError | TypeError):
        return grpc.StatusCode.INVALID_ARGUMENT
    return grpc.StatusCode.INTERNAL


def message_of(error: BaseException) -> str:
    """What to tell the caller. Faults of ours say no more than that they are."""
    if code_of(error) is grpc.StatusCode.INTERNAL:
        return f"a fault of the server ({type(error).__name__}); its log tells more."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(error)[:LONGEST])


def error_reply(seq: int, error: BaseException) -> bytes:
    """A ``SessionReply`` that says so."""
    told = pb.Error(code=NUMBERS[code_of(error)], message=message_of(error))
    if isinstance(error, QuotaExceeded) and error.retry_after is not None:
        told.retry_after = error.retry_after
    return pb.SessionReply(seq=seq, error=told).SerializeToString()


@contextmanager
def unmet_is_refused() -> Iterator[None]:
    """What lanes raise where they are not in a state for a call, as the refusal that it is.

    Raises:
        Refused: a RuntimeError was raised.
    """
    try:
        yield
    except RuntimeError as error:
        raise Refused(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error


def read(kind: type[T], message: bytes) -> T:
    """A message of a kind. By hand and not by gRPC, which would call what cannot be read UNKNOWN.

    Raises:
        Refused: it cannot be read.
    """
    try:
        return kind.FromString(message)
    except DecodeError as error:
        unreadable = f"the message cannot be read; expected a {kind.DESCRIPTOR.name}."
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, unreadable) from error
