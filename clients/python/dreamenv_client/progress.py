"""Where a session stands, as its client knows it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from dreamenv_client.journal import FRAMES_KEPT, HEAD, LANES_TAG, Journal, extended, number_of
from dreamenv_client.v1 import dream_pb2 as pb

Effect = Literal["dream", "filter", "filter from the start", "nothing"]
"""What a call changes."""


class Progress(NamedTuple):
    """Replaced as a whole, by one assignment: an interrupt comes before it or after."""

    info: pb.SessionInfo
    """What the server said of the session as it was opened."""
    answered: int = 0
    """Number of the last call that was answered."""
    pending: bytes | None = None
    """The request that was sent, or may have been, and is not answered yet."""
    effect: Effect = "nothing"
    """Of the pending one."""
    journal: Journal | None = Journal()
    """How to bring the session back; None if that cannot be done."""
    shown: bytes = b""
    """The last reply with a ``LaneStep``."""
    filtered: bool = False
    """Whether real frames were folded in that are not in the journal."""

    def asked(self, message: bytes, effect: Effect) -> Progress:
        """A call was made."""
        return self._replace(pending=message, effect=effect)

    def heard(self, message: bytes, reply: bytes, keeps: bool) -> Progress:
        """The pending call was answered.

        Args:
            keeps: whether calls are kept, to bring the session back.
        """
        info, _, _, effect, journal, shown, filtered = self
        if effect == "dream":
            if journal is not None:
                calls = extended(journal.calls, message)
                journal = journal._replace(calls=calls) if keeps else None
            if reply[HEAD] == LANES_TAG:
                shown = reply
        elif effect != "nothing":
            if journal is not None:
                before = journal.frames if effect == "filter" else None
                frames = extended(before, message)
                keeps = keeps and frames.size <= FRAMES_KEPT
                journal = journal._replace(frames=frames) if keeps else None
            filtered = filtered or journal is None
        return Progress(info, number_of(message), None, "nothing", journal, shown, filtered)

    def refused(self) -> Progress:
        """The pending call is over, and does not count."""
        return self._replace(pending=None)

    def based_on(self, snapshot: bytes) -> Progress:
        """A snapshot was taken, as the session stands now."""
        frames = None if self.journal is None else self.journal.frames
        return self._replace(journal=Journal(snapshot, frames=frames))

    def parted(self, last_word: pb.Draining) -> Progress:
        """The server shuts down, and said where the session stands."""
        if not last_word.snapshot or last_word.last_seq != self.answered or self.filtered:
            return self  # of no use: the answer to the pending call would be missing, or a filter
        return self.based_on(last_word.snapshot)
