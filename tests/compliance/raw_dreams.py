"""The service, method by method, with nothing between a test and the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

SERVICE = pb.DESCRIPTOR.services_by_name["Dreams"]
TIMEOUT = 60.0
"""Seconds. Nothing here takes long; a server that hangs is to fail, not to hang the suite."""
CODES = {code.value[0]: code for code in StatusCode}
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
OWN_CONNECTION = [*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
"""Of a channel that shares its connection with no other."""


class Refused(Exception):
    """A call was answered by a status (or an Error message) other than OK."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code, self.message = code, message


@contextmanager
def refused(*codes: StatusCode, match: str | None = None) -> Iterator[None]:
    """The block's last call is refused, with one of these codes and a message that says why."""
    with pytest.raises(Refused, match=match) as caught:
        yield
    assert caught.value.code in codes, caught.value
    assert caught.value.message, f"{caught.value.code} without a message"


def code_of(call: Callable[[], Any]) -> StatusCode:
    """How a call ends."""
    try:
        call()
    except Refused as error:
        return error.code
    return StatusCode.OK


class Dreams:
    """Every method of the service under its own name: ``dreams.Step(request)``.

    Args:
        token: sent as the bearer; None for a server that asks for none.
    """

    def __init__(self, channel: grpc.Channel, token: str | None = None) -> None:
        self.metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        self.channel = channel
        for method in SERVICE.methods:
            arity = ("unary", "stream")[method.client_streaming]
            arity += ("_unary", "_stream")[method.server_streaming]
            call = getattr(channel, arity)(
                f"/{SERVICE.full_name}/{method.name}",
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            setattr(self, method.name, self._translated(call, method.server_streaming))

    def _translated(self, call: Any, streaming: bool) -> Any:
        def one(request: Any, timeout: float = TIMEOUT) -> Any:
            try:
                return call(request, timeout=timeout, metadata=self.metadata)
            except grpc.RpcError as error:
                raise Refused(error.code(), error.details() or "") from None

        def many(request: Any, timeout: float | None = TIMEOUT) -> Iterator[Any]:
            replies = call(request, timeout=timeout, metadata=self.metadata)
            try:
                yield from replies
            except grpc.RpcError as error:
                raise Refused(error.code(), error.details() or "") from None
            finally:
                replies.cancel()

        return many if streaming else one
