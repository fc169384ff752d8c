"""A session on a dream server, and calls on it that happen exactly once, whatever breaks."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

from dreamenv_client.channel import channel_to
from dreamenv_client.errors import Code, RemoteError, SessionLost, refusal, retry_after
from dreamenv_client.journal import HEAD, LANES_TAG, number_of, renumbered
from dreamenv_client.opening import (
    CALL_SECONDS,
    OPEN_SECONDS,
    close_session,
    forget,
    open_session,
    remember,
    unavailable,
)
from dreamenv_client.patience import Patience
from dreamenv_client.progress import Effect, Progress
from dreamenv_client.recovery import bring_back
from dreamenv_client.server_config import ServerConfig
from dreamenv_client.stream import Stream, StreamBroken
from dreamenv_client.v1 import dream_pb2 as pb

log = logging.getLogger("dreamenv_client")

RECONNECT_SECONDS = 60.0
QUOTA_SECONDS = 60.0
"""How long one call waits in all, where the server asks to come again later."""
FAULTS = 3
"""Times that one call may break its stream by a fault of the server before it is given up."""
BROKEN = {
    Code.CANCELLED,
    Code.UNKNOWN,
    Code.DEADLINE_EXCEEDED,
    Code.NOT_FOUND,
    Code.ABORTED,
    Code.INTERNAL,
    Code.UNAVAILABLE,
}
"""How a stream ends when the call itself is not why, or may not be: it is tried again."""

Finalizer: TypeAlias = "weakref.finalize[Any, Any]"


class Connection:
    """A session, opened on a server.

    Args:
        config: which server.
        request: what to open; its ``request_id`` is filled in.
        reconnect_seconds: how long to try to get a broken connection back.
        snapshot_every: take a snapshot after so many calls, to go on from should the server be
            restarted; None for never.

    Raises:
        RemoteError: the server refused, or did not answer.
        ValueError: the server found the request wrong.
    """

    def __init__(
        self,
        config: ServerConfig,
        request: pb.OpenSessionRequest,
        *,
        reconnect_seconds: float = RECONNECT_SECONDS,
        snapshot_every: int | None = None,
    ) -> None:
        self.config, self._request = config, request
        self._reconnect_seconds, self._snapshot_every = reconnect_seconds, snapshot_every
        self._process = os.getpid()
        self._calls = threading.Lock()
        self._stream: Stream | None = None
        self._lost: SessionLost | None = None
        self.closed = False
        info = open_session(config, request, Patience(min(OPEN_SECONDS, reconnect_seconds)))
        self._progress = Progress(info)
        self._forget = self._closed_if_forgotten(info)
        remember(self)

    @property
    def info(self) -> pb.SessionInfo:
        """What the server said of the session as it was opened."""
        return self._progress.info

    def call(self, encode: Callable[[int], bytes], effect: Effect) -> bytes:
        """Make a call, and have it happen exactly once.

        A call that was interrupted before is carried out to its end first, and its reply dropped.

        Args:
            encode: makes the serialised ``SessionRequest``, given its ``seq``.
            effect: what it changes.

        Returns:
            The serialised ``SessionReply``, which is no error.

        Raises:
            ValueError, RuntimeError: the server refused it; nothing has changed.
            RemoteError: see :mod:`dreamenv_client.errors`.
        """
        self._check_process()
        with self._calls:
            self._ready()
            progress = self._progress
            message = encode(progress.answered + 1)
            self._progress = progress.asked(message, effect)
            return self._answer()

    def rollout(self, request: pb.RolloutRequest, take: Callable[[pb.RolloutReply], None]) -> None:
        """Make a rollout, which changes nothing: it is begun anew if the connection breaks.

        Args:
            request: its header is filled in.
            take: called with each reply; ``first`` goes back to 0 where it begins anew.

        Raises:
            ValueError, RuntimeError, RemoteError: as :meth:`call`.
        """
        self._check_process()
        with self._calls:
            self._ready()
            patience = Patience(self._reconnect_seconds)
            while True:
                try:
                    stream = self._attached(patience)
                    session, epoch = self.info.session, stream.info.epoch
                    request.header.CopyFrom(pb.Header(session=session, epoch=epoch))
                    with channel_to(self.config) as channel:
                        for reply in channel.replies("Rollout", request, pb.RolloutReply):
                            take(reply)
                    return
                except grpc.RpcError as error:
                    code, told = error.code().value[0], error.details() or ""
                except StreamBroken as broken:
                    code, told = broken.code, broken.message
                wait = retry_after(code, told)
                if wait is None and code not in BROKEN:
                    raise refusal(code, told, self.config.address)
                if wait is None and self._stream is not None:
                    self._stream.close()  # and whether the session is there is seen by attaching
                if not patience.pause(wait or 0.0):
                    raise self._given_up(told)

    def close(self) -> None:
        """Free the lanes, in a few seconds at most; calling it twice is fine."""
        if self.closed:
            return
        self.closed = True
        self._forget.detach()
        if self._process != os.getpid():
            return  # inherited through a fork: its owner goes on
        if self._lost is None:
            close_session(self.config, self.info.session)
        if self._stream is not None:
            self._stream.close()

    def _closed_if_forgotten(self, info: pb.SessionInfo) -> Finalizer:
        done: Finalizer = weakref.finalize(self, forget, os.getpid(), self.config, info.session)
        done.atexit = False
        return done

    def _check_process(self) -> None:
        """Two processes that count one session's calls would take each other's answers."""
        if self._process != os.getpid():
            raise RuntimeError(
                f"this session is of process {self._process}, and was inherited by {os.getpid()} "
                "through a fork: open one here (an env opens its own when it is reset)."
            )

    def _ready(self) -> None:
        """Finish what was interrupted, and take a snapshot if it is time."""
        if self.closed:
            raise RuntimeError("this dream was closed: make a new one.")
        if self._lost is not None:
            raise self._lost
        if self._progress.pending is not None:
            try:
                self._answer()
            except (ValueError, RuntimeError):
                if self._progress.pending is not None:
                    raise
                # It was refused, which whoever interrupted it no longer wants to know.
        journal, every = self._progress.journal, self._snapshot_every
        if every is not None and journal is not None and journal.length >= every:
            seq = self._progress.answered + 1
            request = pb.SessionRequest(seq=seq, snapshot=pb.SnapshotRequest())
            self._progress = self._progress.asked(request.SerializeToString(), "nothing")
            reply = pb.SessionReply.FromString(self._answer())
            self._progress = self._progress.based_on(reply.snapshot.snapshot)

    def _answer(self) -> bytes:
        """The answer to the pending call, asked for again over new streams until it comes."""
        patience = Patience(self._reconnect_seconds)
        quota = Patience(QUOTA_SECONDS)
        faults = 0
        while True:
            stream = None
            try:
                stream = self._attached(patience)
                message = self._progress.pending
                assert message is not None, "nothing was asked"
                reply = stream.exchange(message)
                if reply[:HEAD] != message[:HEAD] or reply[HEAD] != LANES_TAG:
                    parsed = self._sorted(stream, reply, number_of(message))
                    if parsed.HasField("error"):
                        wait = retry_after(parsed.error.code, parsed.error.message)
                        if wait is not None and quota.pause(wait):
                            continue
                        raise self._refused(parsed.error.code, parsed.error.message)
                    reply = parsed.SerializeToString()
                keeps = self._snapshot_every is not None
                self._progress = self._progress.heard(message, reply, keeps)
                return reply
            except StreamBroken as error:
                broken = error
            told, where = broken.message, self.config.address
            if broken.code not in BROKEN and stream is None:
                raise refusal(broken.code, told, where)  # what was asked before may have happened
            if broken.code not in BROKEN:  # refused before it was read: too large, say
                raise self._refused(broken.code, told)
            faults += broken.code in (Code.INTERNAL, Code.UNKNOWN)
            if faults > FAULTS:
                raise RemoteError(f"{where} fails at this call again and again: {told}")
            if not patience.pause():
                raise self._given_up(told)
            level = logging.WARNING if patience.tried else logging.INFO
            log.log(level, "%s: connection lost (%s): %.0f s left", where, told, patience.left)

    def _attached(self, patience: Patience) -> Stream:
        """The stream, or a new one, of a new session if need be.

        Raises:
            StreamBroken: it broke again.
            SessionLost: the session is gone and cannot be brought back.
        """
        stream = self._stream
        if stream is not None and not stream.closed:
            return stream
        progress, seconds = self._progress, max(1.0, min(CALL_SECONDS, patience.left))
        try:
            stream = Stream(self.config, progress.info.session, seconds)
            answered = stream.info.last_seq
        except StreamBroken as broken:
            if broken.code != Code.NOT_FOUND:
                raise
            stream, answered = self._brought_back(broken.message, patience)
            pending = progress.pending
            if pending is not None:
                pending = renumbered(pending, answered + 1)
            progress = progress._replace(info=stream.info, answered=answered, pending=pending)
            self._progress = progress
            self._forget.detach()
            self._forget = self._closed_if_forgotten(stream.info)
        # One more than was heard of: the call whose answer is pending or was given up.
        if not 0 <= answered - progress.answered <= 1:
            self._lost = SessionLost(
                f"{self.config.address} counts {answered} calls of this session; expected "
                f"{progress.answered}: another client uses it. close() and reset() to begin anew."
            )
            raise self._lost
        if progress.pending is None and answered > progress.answered:
            self._progress = progress._replace(answered=answered, journal=None)
        self._stream = stream
        return stream

    def _brought_back(self, told: str, patience: Patience) -> tuple[Stream, int]:
        progress = self._progress
        try:
            if progress.journal is None:
                raise SessionLost(
                    f"{self.config.address} no longer knows this session: {told} Its lease was "
                    "over, or the server was restarted. close() and reset() to begin anew; with "
                    "snapshot_every=N the env would have gone on from its last snapshot."
                )
            log.warning("%s: bringing back a session (%s)", self.config.address, told)
            return bring_back(
                self.config,
                self._request,
                progress.info,
                progress.journal,
                progress.shown,
                patience,
            )
        except SessionLost as lost:
            self._lost = lost
            raise

    def _sorted(self, stream: Stream, reply: bytes, seq: int) -> pb.SessionReply:
        """The reply to this call, whatever comes before it."""
        while True:
            parsed = pb.SessionReply.FromString(reply)
            if parsed.HasField("draining"):
                self._progress = self._progress.parted(parsed.draining)
            elif parsed.seq == seq or parsed.HasField("error"):
                return parsed
            else:
                stream.close()
                raise StreamBroken(Code.UNKNOWN, f"a reply has seq {parsed.seq}; expected {seq}.")
            reply = stream.receive()

    def _refused(self, code: int, told: str) -> Exception:
        """The pending call is over, and does not count."""
        self._progress = self._progress.refused()
        return refusal(code, told, self.config.address)

    def _given_up(self, told: str) -> Exception:
        lease = self.info.lease.seconds
        return unavailable(
            self.config,
            told,
            f"It was tried for {self._reconnect_seconds:.0f} s (reconnect_seconds). Where the "
            f"session stands is kept there for {lease:.0f} s: until then the next call goes on, "
            "after the one that failed. ",
        )
