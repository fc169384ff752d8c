"""Snapshots that clients keep: signed, so that only what this server made comes back."""

from __future__ import annotations

import hmac

import grpc
from dreamenv_client.lanes import LaneSnapshot
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import from_named, to_named

from dreamenv_server.refusal import Refused, read

PURPOSE = b"dreamenv.v1.SnapshotState\0"
"""Signed along, so that a signature under the same key for anything else is none of ours."""


class Seal:
    """Signs snapshots and takes them back.

    Args:
        key: at least 16 secret bytes. Whoever has them can make snapshots.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError(f"the key has {len(key)} bytes; expected 16 or more.")
        self._key = key

    def close(self, snapshot: LaneSnapshot, client: str) -> bytes:
        """A snapshot as bytes, for this client alone."""
        state = pb.SnapshotState(
            model=snapshot.model, client=client, arrays=to_named(snapshot.arrays)
        ).SerializeToString()
        return pb.SignedSnapshot(signature=self._sign(state), state=state).SerializeToString()

    def open(self, sealed: bytes, client: str) -> LaneSnapshot:
        """What :meth:`close` was given.

        Raises:
            Refused: not signed under this key, or another client's.
        """
        signed = read(pb.SignedSnapshot, sealed)
        if not hmac.compare_digest(signed.signature, self._sign(signed.state)):
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "the snapshot's signature is not this server's: it was changed on the way, or the "
                "server has another key now. Start a new episode; keep the server's --key-file.",
            )
        state = pb.SnapshotState.FromString(signed.state)
        if state.client != client:
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                f"the snapshot is another client's; expected one of {client!r}.",
            )
        return LaneSnapshot(state.model, from_named(state.arrays))

    def _sign(self, state: bytes) -> bytes:
        return hmac.digest(self._key, PURPOSE + state, "sha256")
