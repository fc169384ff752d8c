"""One Session stream: messages out, replies in, in order."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from typing import Any

import grpc

from dreamenv_client.channel import Channel, acquire, lock, release
from dreamenv_client.errors import Code
from dreamenv_client.server_config import ServerConfig
from dreamenv_client.v1 import dream_pb2 as pb


class StreamBroken(Exception):
    """The stream ended without an answer; it is closed now."""

    def __init__(self, code: int, message: str) -> None:
        """A status code and what was said with it."""
        super().__init__(message)
        self.code, self.message = code, message


class Stream:
    """Attached to a session; over at the first failure, KeyboardInterrupt included.

    A thread of grpc's sends what is put in a queue: the quickest of the ways that there are.

    Args:
        session: which to attach to.
        seconds: how long to wait for that.

    Raises:
        StreamBroken: it was not to be had.
    """

    def __init__(self, config: ServerConfig, session: str, seconds: float) -> None:
        requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with lock:
            channel = acquire(config)
            try:
                self._call = channel.stream("Session", iter(requests.get, None))
            except BaseException:
                release(channel)
                raise
            # Not by __del__: grpc's thread waits in the queue, and would for ever.
            self._end = weakref.finalize(self, _end, os.getpid(), self._call, requests, channel)
            channel.users.add(self)
        self._put, self._next = requests.put, self._call.__next__
        attach = pb.AttachRequest(session=session)
        # A server that accepts connections, answers pings and says nothing is none.
        patience = threading.Timer(seconds, self._call.cancel)
        patience.daemon = True
        patience.start()
        try:
            reply = self.exchange(pb.SessionRequest(attach=attach).SerializeToString())
        finally:
            patience.cancel()
        message = pb.SessionReply.FromString(reply)
        if message.HasField("error"):
            self.close()
            raise StreamBroken(message.error.code, message.error.message)
        self.info: pb.SessionInfo = message.attached

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return not self._end.alive

    def exchange(self, message: bytes) -> bytes:
        """Send a message and wait for the next reply.

        Raises:
            StreamBroken: the stream ended instead.
        """
        self._put(message)
        return self.receive()

    def receive(self) -> bytes:
        """Wait for the next reply."""
        try:
            reply: bytes = self._next()
        except StopIteration:
            self.close()
            raise StreamBroken(Code.UNAVAILABLE, "the server ended the stream.") from None
        except grpc.RpcError as error:
            self.close()
            raise StreamBroken(error.code().value[0], error.details() or "") from None
        except BaseException:  # the reply may still come: nobody must take it for another's
            self.close()
            raise
        return reply

    def close(self) -> None:
        """End it; twice is fine."""
        self._end()


def _end(
    process: int, call: Any, requests: queue.SimpleQueue[bytes | None], channel: Channel
) -> None:
    if process == os.getpid():
        call.cancel()
        requests.put(None)  # grpc's thread waits for it
        release(channel)
