"""Channels to dream servers: opened late, shared within a process, closed before it forks."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

from dreamenv_client.native_threads import await_end
from dreamenv_client.server_config import ServerConfig

# grpc reads it as it is imported. Without it a process forked while channels are open, by code that
# runs none of Python's hooks, crashes now and then; with it such a fork takes a second.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")

import grpc

SERVICE = "/dreamenv.v1.Dreams/"
KEEPALIVE_SECONDS = 15.0
"""A connection on which nothing came for so long is probed, while a stream is open on it."""
KEEPALIVE_TIMEOUT = 10.0
GRPC_THREADS = ("event_engine", "grpc_", "lifeguard", "timer_", "default-exec", "resolver-exec")
GRPC_SECONDS = 1.0
"""How long a fork waits for these to end, and a process's end for its streams' ends."""
CONNECT_SECONDS = 10.0
"""The longest that one attempt to connect may take."""


class Closable(Protocol):
    """What uses a channel for long."""

    def close(self) -> None:
        """Stop using it."""


class Channel:
    """A gRPC channel and who uses it. See :func:`acquire`."""

    def __init__(self, config: ServerConfig) -> None:
        self.key = (os.getpid(), config)
        self.holders = 0
        self.users: WeakSet[Closable] = WeakSet()
        """Closed before the process forks."""
        self._metadata = config.metadata()
        credentials, options = _credentials(config), _options()
        if credentials is None:
            self._grpc = grpc.insecure_channel(config.address, options)
        else:
            self._grpc = grpc.secure_channel(config.address, credentials, options)

    def call(self, method: str, request: Any, reply: type[Any], seconds: float) -> Any:
        """A unary call.

        Raises:
            grpc.RpcError: it failed, or took longer.
        """
        unary = self._grpc.unary_unary(
            SERVICE + method, type(request).SerializeToString, reply.FromString
        )
        return unary(request, timeout=seconds, metadata=self._metadata)

    def replies(self, method: str, request: Any, reply: type[Any]) -> Any:
        """A call with a stream of replies, to be iterated over."""
        many = self._grpc.unary_stream(
            SERVICE + method, type(request).SerializeToString, reply.FromString
        )
        return _watched(many(request, metadata=self._metadata))

    def stream(self, method: str, requests: Iterator[bytes]) -> Any:
        """A stream of serialised messages each way."""
        both: Callable[..., Any] = self._grpc.stream_stream(SERVICE + method)
        return _watched(both(requests, metadata=self._metadata))

    def close(self) -> None:
        """End all calls, and let go of the connection."""
        self._grpc.close()


_unfinished: dict[threading.Event, int] = {}
"""Of streams whose end grpc's thread has not told yet: set once it has; and in which process."""


def _watched(call: Any) -> Any:
    over = threading.Event()
    _unfinished[over] = os.getpid()

    def tell() -> None:
        _unfinished.pop(over, None)
        over.set()

    if not call.add_callback(tell):  # it is over already
        tell()
    return call


def await_streams(seconds: float) -> bool:
    """Wait until grpc's threads have told the end of all streams that this process had.

    The end of the interpreter stops those threads wherever they are. One that is just telling a
    stream's end never lets go of its lock then, for which the stream's destructor waits for ever.

    Returns:
        Whether they had within so many seconds.
    """
    deadline = time.monotonic() + seconds
    own = [over for over, process in list(_unfinished.items()) if process == os.getpid()]
    return all(over.wait(max(0.0, deadline - time.monotonic())) for over in own)


lock = threading.RLock()
"""Held while channels and streams open, so that no fork comes between."""
_channels: dict[tuple[int, ServerConfig], Channel] = {}
_used: set[ServerConfig] = set()
"""Of channels opened since the last fork: grpc's threads outlive a channel for a moment."""


def acquire(config: ServerConfig) -> Channel:
    """This process's channel to a server, to be released; connected when it is first used."""
    with lock:
        key = (os.getpid(), config)
        channel = _channels.get(key)
        if channel is None:
            channel = _channels[key] = Channel(config)
            _used.add(config)
            _heed_forks()
        channel.holders += 1
        return channel


def release(channel: Channel) -> None:
    """Give a channel back; the last one closes it."""
    with lock:
        channel.holders -= 1
        if not channel.holders and _channels.get(channel.key) is channel:
            del _channels[channel.key]
            channel.close()


@contextmanager
def channel_to(config: ServerConfig) -> Iterator[Channel]:
    """A channel for a few calls."""
    channel = acquire(config)
    try:
        yield channel
    finally:
        release(channel)


def _options() -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # Large observations in few frames.
        ("grpc.http2.max_frame_size", 1 << 20),
        ("grpc.http2.lookahead_bytes", 1 << 22),
        # A connection whose other end is gone without a word is noticed within half a minute. (It
        # is the ping's timeout that ends it: with the keepalive's alone, gRPC waits for a minute.)
        ("grpc.keepalive_time_ms", int(1000 * KEEPALIVE_SECONDS)),
        ("grpc.keepalive_timeout_ms", int(1000 * KEEPALIVE_TIMEOUT)),
        ("grpc.http2.ping_timeout_ms", int(1000 * KEEPALIVE_TIMEOUT)),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
        # Repeating a step is for the session to do, which counts them.
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        # When to connect again is for the session to say as well.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.min_reconnect_backoff_ms", int(1000 * CONNECT_SECONDS)),
        ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ]


def _credentials(config: ServerConfig) -> grpc.ChannelCredentials | None:
    """Of TLS; None for an unencrypted channel.

    Raises:
        OSError: a file is missing.
    """
    trusted = config.authorities()
    if not trusted:
        return None
    chain, key = (
        None if path is None else Path(path).read_bytes()
        for path in (config.client_cert, config.client_key)
    )
    roots = None if trusted is True else Path(trusted).read_bytes()
    return grpc.ssl_channel_credentials(roots, key, chain)


def _before_fork() -> None:
    """Threads and connections do not survive a fork, and a lock that a thread of grpc's holds at
    that moment hangs the child. So there are none: channels are closed, whereupon grpc ends all its
    threads, unless somebody else uses it too. Sessions attach again at their next call."""
    lock.acquire()  # nobody opens one meanwhile
    _close_all()
    if _used:
        _used.clear()
        await_end(GRPC_THREADS, GRPC_SECONDS)


def _close_all() -> None:
    for channel in list(_channels.values()):
        for user in list(channel.users):
            user.close()
        channel.close()
    _channels.clear()


@functools.cache
def _heed_forks() -> None:
    """Once there is a channel: hooks run in the reverse order, and grpc, whose own hook halts the
    threads that closing needs, registers it with the first one."""
    os.register_at_fork(
        before=_before_fork, after_in_parent=lock.release, after_in_child=lock.release
    )
