"""Hostile input: each case a proper status, and nobody else notices."""

from __future__ import annotations

from pathlib import Path

from attacker import PROPER, Attacker
from grpc import StatusCode
from witness import Witness

STALL = 5.0
"""Seconds that a step of somebody else may take meanwhile, on however slow a machine."""


def test_bent_messages(serve, lively: Path):
    own = serve()
    with Witness(own.address, "lively", lively) as witness, Attacker(own.address, "lively", 7) as a:
        a.attack(1500)
    assert not a.faults, a.faults[0]
    assert {code for _, code in a.answers} <= PROPER
    kinds = {kind for kind, _ in a.answers}
    assert len(kinds) >= 8
    assert a.answers["bent call", StatusCode.OK] > 20, "bent calls hardly got anywhere"
    assert a.answers["bent call", StatusCode.INVALID_ARGUMENT] > 100
    assert witness.seconds
    assert max(witness.seconds) < STALL
