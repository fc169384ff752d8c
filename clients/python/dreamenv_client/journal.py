"""What brings a session back after its server has forgotten it: a snapshot, and the calls since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dreamenv_client.layout import LANES, SEQ, SEQ_TAG
from dreamenv_client.v1 import dream_pb2 as pb

HEAD = len(SEQ_TAG) + SEQ.size
"""Where a message's call or result begins: ``seq`` comes before it."""
LANES_TAG = LANES << 3 | 2
"""The byte there of a reply with a ``LaneStep``."""
FRAMES_KEPT = 1 << 28
"""Bytes of real frames kept to bring a filter back: an episode's, by far."""


class Chain(NamedTuple):
    """Messages, the last one first. Nothing in it ever changes, so that one assignment moves on."""

    message: bytes
    before: Chain | None
    length: int
    size: int


def extended(chain: Chain | None, message: bytes) -> Chain:
    """A chain with one more message."""
    length, size = (0, 0) if chain is None else (chain.length, chain.size)
    return Chain(message, chain, length + 1, size + len(message))


def in_order(chain: Chain | None) -> list[bytes]:
    """Its messages, the first one first."""
    messages = []
    while chain is not None:
        messages.append(chain.message)
        chain = chain.before
    return messages[::-1]


class Journal(NamedTuple):
    """Enough to bring a session to where it is."""

    base: bytes | None = None
    """A signed snapshot of all lanes; None: the session as it was opened."""
    calls: Chain | None = None
    """Requests since, of those that change the dream."""
    frames: Chain | None = None
    """``Filter`` requests since all lanes began: the filter is not in the snapshot."""

    @property
    def length(self) -> int:
        """Calls since the snapshot."""
        return 0 if self.calls is None else self.calls.length

    def replay(self) -> Iterator[bytes]:
        """Requests that bring a new session there; their numbers are old ones."""
        if self.base is not None:
            restore = pb.RestoreRequest(snapshot=self.base)
            yield pb.SessionRequest(seq=1, restore=restore).SerializeToString()
        yield from in_order(self.calls)
        yield from in_order(self.frames)


def number_of(message: bytes) -> int:
    """``seq`` of a request that was made here."""
    number: int = SEQ.unpack_from(message, len(SEQ_TAG))[0]
    return number


def renumbered(message: bytes, seq: int) -> bytes:
    """A request that was made here, under another number."""
    return SEQ_TAG + SEQ.pack(seq) + message[HEAD:]


def same_lanes(one: bytes, other: bytes, *, restored: bool) -> bool:
    """Whether two replies show the same, bitwise.

    Args:
        restored: the second one answers ``Restore``, which tells of no reward and no info.
    """
    if not restored:
        return one[HEAD:] == other[HEAD:]
    seen = [pb.SessionReply.FromString(reply).lanes for reply in (one, other)]
    parts = [(step.observation, step.terminated, step.truncated) for step in seen]
    return parts[0] == parts[1]
