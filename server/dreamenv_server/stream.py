"""The fast path: one session's calls over one stream."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from dreamenv_client.v1 import dream_pb2 as pb

from dreamenv_server.refusal import Refused, read
from dreamenv_server.session import Reply
from dreamenv_server.sessions import Sessions

ATTACH_SECONDS = 10.0
"""In which a stream must say whose it is: those that never do would pile up."""
Context = grpc.aio.ServicerContext[Any, bytes]


class Stream:
    """Serves one ``Session`` call; messages are bytes, since most are never parsed."""

    def __init__(self, sessions: Sessions, client: str, context: Context) -> None:
        self._sessions, self._client, self._context = sessions, client, context
        self._ending: tuple[Refused, Reply | None] | None = None
        self._reading = False
        self._task: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Answer calls until the client leaves or the stream is ended.

        Raises:
            Refused: the status that the stream ends with.
        """
        self._task = asyncio.current_task()
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                first = await self._context.read()
        except TimeoutError as error:
            late = f"no message in {ATTACH_SECONDS:g} s; expected attach."
            raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, late) from error
        if first is grpc.aio.EOF:
            return
        session = self._sessions.get(_session_name(first), self._client)
        session.attach(self.end)
        epoch = session.epoch
        try:
            attached = pb.SessionReply(attached=session.info()).SerializeToString()
            await self._context.write(attached)
            read, write, handle = self._context.read, self._context.write, session.handle
            moved = session.shared.metrics.moved
            while self._ending is None:
                self._reading = True
                message = await read()
                self._reading = False
                if message is grpc.aio.EOF:
                    return
                reply = handle(message, epoch)
                if not isinstance(reply, bytes):
                    self._reading = session.leaving  # then nobody will answer
                    reply = await reply
                    self._reading = False
                await write(reply)
                moved(len(message), len(reply))
        except asyncio.CancelledError:
            if self._ending is None:
                raise  # the client is gone
            asyncio.current_task().uncancel()  # type: ignore[union-attr]  # this is a task
        finally:
            session.detach(self.end)
        why, last = self._ending
        if last is not None:
            await self._context.write(last)
        raise why

    def end(self, why: Refused, last: Reply | None) -> None:
        """End the stream once it has answered the call that it is at.

        Args:
            why: the status it ends with.
            last: a message to send before that.
        """
        if self._ending is None:
            self._ending = (why, last)
            if self._reading and self._task is not None:
                self._task.cancel()


def _session_name(message: bytes) -> str:
    """Of the session that a stream's first message attaches to.

    Raises:
        Refused: the message does not.
    """
    request = read(pb.SessionRequest, message)
    if request.WhichOneof("call") != "attach":
        raise Refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"a stream began with {request.WhichOneof('call')}; expected attach.",
        )
    return request.attach.session
