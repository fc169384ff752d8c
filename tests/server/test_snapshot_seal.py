"""Signed snapshots: only what this server made for this client comes back."""

from __future__ import annotations

import hashlib
import hmac

import grpc
import numpy as np
import pytest
from dreamenv_client.lanes import LaneSnapshot
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_server.refusal import Refused
from dreamenv_server.snapshots import Seal

SNAPSHOT = LaneSnapshot("m", {"seed": np.array([1, 2]), "x": np.ones((2, 3), np.float32)})


def test_what_was_sealed_comes_back():
    opened = Seal(b"k" * 32).open(Seal(b"k" * 32).close(SNAPSHOT, "ann"), "ann")
    assert opened.model == "m"
    assert list(opened.arrays) == ["seed", "x"]
    assert all((opened.arrays[name] == SNAPSHOT.arrays[name]).all() for name in opened.arrays)


def test_the_signature_is_an_hmac_as_the_contract_says():
    signed = pb.SignedSnapshot.FromString(Seal(b"k" * 32).close(SNAPSHOT, "ann"))
    told = b"dreamenv.v1.SnapshotState\0" + signed.state
    assert signed.signature == hmac.new(b"k" * 32, told, hashlib.sha256).digest()


def test_anything_else_is_refused():
    seal = Seal(b"k" * 32)
    sealed = seal.close(SNAPSHOT, "ann")
    for at in range(0, len(sealed)):
        broken = bytearray(sealed)
        broken[at] ^= 1
        with pytest.raises(Refused) as refused:
            seal.open(bytes(broken), "ann")
        assert refused.value.code in (
            grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.INVALID_ARGUMENT,
        )
    for client, key in (("bob", b"k" * 32), ("ann", b"j" * 32)):
        with pytest.raises(Refused) as refused:
            Seal(key).open(sealed, client)
        assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
    for junk in (b"", b"\xff" * 40, pb.SignedSnapshot(state=b"x").SerializeToString()):
        with pytest.raises(Refused):
            seal.open(junk, "ann")
    with pytest.raises(ValueError, match="16 or more"):
        Seal(b"short")
