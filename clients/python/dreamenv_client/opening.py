"""Sessions opened and closed, those that were forgotten included."""

from __future__ import annotations

import atexit
import os
import queue
import secrets
from typing import Any, Protocol
from weakref import WeakSet

import grpc

from dreamenv_client.channel import GRPC_SECONDS, await_streams, channel_to
from dreamenv_client.errors import Code, ServerUnavailable, refusal, retry_after
from dreamenv_client.patience import Patience
from dreamenv_client.server_config import ServerConfig
from dreamenv_client.v1 import dream_pb2 as pb

OPEN_SECONDS = 10.0
"""How long a server is waited for that has not answered yet."""
CALL_SECONDS = 30.0
"""The longest that opening a session, or attaching to one, may take: the first one of a model loads
it."""
CLOSE_SECONDS = 2.0
AGAIN = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.INTERNAL)


def ask(
    config: ServerConfig, method: str, request: Any, reply: type[Any], patience: Patience
) -> Any:
    """A call that may safely be repeated.

    Raises:
        ValueError, RemoteError: see :func:`dreamenv_client.errors.refusal`.
    """
    while True:
        try:
            with channel_to(config) as channel:
                return channel.call(method, request, reply, CALL_SECONDS)
        except grpc.RpcError as error:
            code, told = error.code().value[0], error.details() or ""
        wait = retry_after(code, told)
        if wait is None and code not in AGAIN:
            raise refusal(code, told, config.address)
        if not patience.pause(wait or 0.0):
            raise unavailable(config, told)


def unavailable(config: ServerConfig, told: str, advice: str = "") -> ServerUnavailable:
    """What to say when no server answered."""
    return ServerUnavailable(
        f"no dream server answers at {config.address} ({told}). {advice}Check that it runs there "
        "(dreamenv serve), that the port is open, and that both sides agree on TLS (tls=)."
    )


def open_session(
    config: ServerConfig, request: pb.OpenSessionRequest, patience: Patience
) -> pb.SessionInfo:
    """A new session; asked for again under one id, so that no reply that was lost loses lanes."""
    _close_forgotten(config)
    request.request_id = secrets.token_bytes(16)
    info: pb.SessionInfo = ask(config, "OpenSession", request, pb.SessionInfo, patience)
    return info


def close_session(config: ServerConfig, session: str) -> None:
    """Free a session's lanes, in a moment or not at all: its lease frees them as well."""
    header = pb.CloseSessionRequest(header=pb.Header(session=session))
    try:
        with channel_to(config) as channel:
            channel.call("CloseSession", header, pb.CloseSessionReply, CLOSE_SECONDS)
    except (grpc.RpcError, ValueError, OSError):
        # The server is gone, or so is the token's file. Whoever closes an env can do nothing then.
        return


class Closable(Protocol):
    """A session that is open."""

    def close(self) -> None:
        """Free its lanes."""


_forgotten: queue.SimpleQueue[tuple[int, ServerConfig, str]] = queue.SimpleQueue()
"""Sessions nobody holds any more: which process opened them, where, and their names."""
_open: WeakSet[Closable] = WeakSet()


def forget(process: int, config: ServerConfig, session: str) -> None:
    """Note that nobody holds a session any more. Called by the garbage collector, at any moment:
    so it is closed when this process opens the next one, or ends."""
    _forgotten.put((process, config, session))


def remember(session: Closable) -> None:
    """Close it when this process ends, if it is open then."""
    _open.add(session)


def _close_forgotten(config: ServerConfig | None = None) -> None:
    for _ in range(_forgotten.qsize()):
        try:
            process, where, session = _forgotten.get_nowait()
        except queue.Empty:  # another thread took it
            return
        if process != os.getpid():
            continue  # the parent's, inherited through a fork
        if config is None or where == config:
            close_session(where, session)
        else:
            _forgotten.put((process, where, session))


@atexit.register
def _close_all() -> None:
    for session in list(_open):
        session.close()
    _close_forgotten()
    await_streams(GRPC_SECONDS)
