"""Snapshots of lanes that are far away: signed by their server, and legible all the same."""

from __future__ import annotations

from dataclasses import dataclass

from dreamenv_client.lanes import LaneSnapshot
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import from_named


@dataclass(frozen=True)
class RemoteSnapshot(LaneSnapshot):
    """A snapshot that a server took. Its arrays are read-only, and can be restored into a dream in
    process; what a server takes back is :attr:`signed`."""

    signed: bytes = b""
    """The state under the server's signature: only servers with its key take it back, from the
    same client."""

    @classmethod
    def parse(cls, signed: bytes) -> RemoteSnapshot:
        """A snapshot from the bytes of a ``SnapshotReply``."""
        state = pb.SnapshotState.FromString(pb.SignedSnapshot.FromString(signed).state)
        arrays = from_named(state.arrays)
        for array in arrays.values():
            array.flags.writeable = False
        return cls(state.model, arrays, signed)
