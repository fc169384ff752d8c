"""A session, called the two ways there are: one call at a time, or over a stream."""

from __future__ import annotations

import queue
import secrets
from typing import Any

import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb
from raw_dreams import CODES, TIMEOUT, Dreams, Refused
from raw_tensors import array, some_actions, tensor

FIELDS = {
    "Step": "step",
    "Reset": "reset",
    "Configure": "configure",
    "Snapshot": "snapshot",
    "Restore": "restore",
    "Branch": "branch",
    "Render": "render",
    "Filter": "filter",
}
"""Of a SessionRequest, by the method that does the same."""


class Session:
    """A session whose calls are made one by one.

    ``session.Step(actions=…)`` makes the call with the seq that is its turn; ``seq=`` makes it
    with another. ``last`` counts the calls that were answered.
    """

    def __init__(self, dreams: Dreams, info: pb.SessionInfo) -> None:
        self.dreams, self.info = dreams, info
        self.name, self.epoch, self.last = info.session, info.epoch, info.last_seq
        self.lanes, self.space = info.lanes, info.model.action_space

    def header(self, seq: int = 0) -> pb.Header:
        return pb.Header(session=self.name, epoch=self.epoch, seq=seq)

    def ask(self, method: str, seq: int, **fields: Any) -> Any:
        request = getattr(pb, f"{method}Request")(header=self.header(seq), **fields)
        return getattr(self.dreams, method)(request)

    def __getattr__(self, method: str) -> Any:
        if method not in FIELDS:
            raise AttributeError(method)

        def call(*, seq: int | None = None, **fields: Any) -> Any:
            own = self.last + 1 if seq is None else seq
            reply = self.ask(method, own, **fields)
            self.last = max(self.last, own)
            return reply

        return call

    def rollout(self, **fields: Any) -> list[pb.RolloutReply]:
        return list(self.dreams.Rollout(pb.RolloutRequest(header=self.header(), **fields)))

    def act(self, luck: int, reset: np.ndarray | None = None) -> pb.LaneStep:
        """Step all lanes by some actions, a function of ``luck``."""
        mask = {} if reset is None else {"reset": tensor(reset)}
        return self.Step(actions=tensor(some_actions(self.space, luck, self.lanes)), **mask)

    def close(self) -> None:
        self.dreams.CloseSession(pb.CloseSessionRequest(header=self.header()))


class StreamSession(Session):
    """A session whose calls go over one stream, which is attached here.

    Raises:
        Refused: the stream ended, or answered `attach` by an Error.
    """

    def __init__(
        self, dreams: Dreams, info: pb.SessionInfo, seconds: float | None = TIMEOUT
    ) -> None:
        super().__init__(dreams, info)
        self.stream = Stream(dreams, seconds)
        self.stream.send(attach=pb.AttachRequest(session=info.session))
        self.attached = self.stream.reply().attached
        self.epoch, self.last = self.attached.epoch, self.attached.last_seq

    def ask(self, method: str, seq: int, **fields: Any) -> Any:
        request = getattr(pb, f"{method}Request")(**fields)
        self.stream.send(seq=seq, **{FIELDS[method]: request})
        reply = self.stream.reply()
        assert reply.seq == seq
        return getattr(reply, reply.WhichOneof("result"))

    def close(self) -> None:
        self.stream.end()
        super().close()


class Stream:
    """Both directions of one Session stream, which lasts so many seconds at most."""

    def __init__(self, dreams: Dreams, seconds: float | None = TIMEOUT) -> None:
        self.sent: queue.SimpleQueue[pb.SessionRequest | None] = queue.SimpleQueue()
        self.replies = dreams.Session(iter(self.sent.get, None), seconds)

    def send(self, **fields: Any) -> None:
        self.sent.put(pb.SessionRequest(**fields))

    def reply(self) -> pb.SessionReply:
        """The next one. Raises: Refused, be it an Error or the end of the stream."""
        reply = next(self.replies)
        if reply.WhichOneof("result") == "error":
            raise Refused(CODES[reply.error.code], reply.error.message)
        return reply

    def end(self) -> None:
        """Say that no more comes, and read what is left."""
        self.sent.put(None)
        for _ in self.replies:
            pass


def open_request(model: str, lanes: int, **fields: Any) -> pb.OpenSessionRequest:
    own = {"request_id": secrets.token_bytes(16), **fields}
    return pb.OpenSessionRequest(model=model, lanes=lanes, **own)


def shown(step: pb.LaneStep) -> dict[str, np.ndarray]:
    """A LaneStep's arrays by name."""
    named = {f"info {each.name}": array(each.tensor) for each in step.info}
    fields = ("observation", "reward", "terminated", "truncated")
    return {name: array(getattr(step, name)) for name in fields} | named


def assert_same(ours: pb.LaneStep, theirs: pb.LaneStep, lanes: Any = slice(None)) -> None:
    """Bitwise, and with the info in the same order."""
    mine, other = shown(ours), shown(theirs)
    assert list(mine) == list(other)
    for name, values in mine.items():
        assert values.dtype == other[name].dtype
        assert values[lanes].tobytes() == other[name][lanes].tobytes(), name
