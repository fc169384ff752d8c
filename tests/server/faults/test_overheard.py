"""What is one session's alone is never seen by another, not even in lanes that were the first's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from attacker import Attacker
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import OWN_CONNECTION, refused
from raw_dreams import Dreams as Raw
from raw_session import Session, open_request
from raw_tensors import array, bools, seeds, some_actions, tensor

SEED = 0x5EC2E7CA9A217EED
CALM = pb.Knobs(termination="none")
KINDS = ("features", "latent", "pixels")


class Listening(Raw):
    """Remembers every reply, as it was on the wire."""

    heard: bytes = b""

    def _translated(self, call, streaming):
        made = super()._translated(call, streaming)

        def one(request, *args):
            reply = made(request, *args)
            self.heard += reply.SerializeToString()
            return reply

        def many(request, *args):
            for reply in made(request, *args):
                self.heard += reply.SerializeToString()
                yield reply

        return many if streaming else one


@pytest.fixture
def channel(serve) -> Iterator[grpc.Channel]:
    own = serve(lanes=12)  # few, so that they are soon handed out again
    with grpc.insecure_channel(own.address, OWN_CONNECTION) as made:
        yield made


def secrets_of(dreams: Raw, kind: str) -> tuple[Session, set[bytes]]:
    """A session, and pieces of bytes that nobody else is to see: of its seeds, its observations,
    its frames, and all that its snapshots hold."""
    session = Session(
        dreams, dreams.OpenSession(open_request("lively", 4, observation=kind, knobs=CALM))
    )
    own = [SEED + lane for lane in range(4)]
    session.Reset(seeds=seeds(*own))  # a start of the model's, which is nobody's secret
    frames = np.random.default_rng(SEED).integers(0, 256, (4, 16, 16, 3), np.uint8)
    session.Filter(observations=tensor(frames), begin=bools(1, 1, 1, 1))
    steps = [session.act(luck) for luck in range(700, 705)]
    signed = pb.SignedSnapshot.FromString(session.Snapshot().snapshot)
    state = pb.SnapshotState.FromString(signed.state)
    pieces = {seed.to_bytes(8, "little") for seed in own}
    pieces |= {frame.tobytes()[:16] for frame in frames}
    for rows in [array(step.observation) for step in steps] + [
        array(each.tensor) for each in state.arrays if each.name.startswith("model.")
    ]:
        for row in rows:
            data = row.tobytes()
            size = 12 if row.dtype.kind == "f" else len(data)  # parts of pictures may be alike
            pieces |= {data[at : at + size] for at in range(0, len(data) - size + 1, size)}
    return session, {piece for piece in pieces if len(set(piece)) > 6}


def hear(dreams: Raw, kind: str) -> None:
    """All that another session can be shown, with lanes that never began and lanes that did."""
    session = Session(
        dreams, dreams.OpenSession(open_request("lively", 4, observation=kind, knobs=CALM))
    )
    lanes = pb.LaneIndices
    session.Reset(mask=bools(1, 0, 0, 0))
    session.Render()
    session.Snapshot()
    with refused(StatusCode.FAILED_PRECONDITION):
        session.Branch(source=lanes(index=[1]), target=lanes(index=[0]))
    with refused(StatusCode.FAILED_PRECONDITION):
        session.rollout(
            lanes=lanes(index=[2]), actions=tensor(some_actions(session.space, 0, 1, 3))
        )
    frames = tensor(np.zeros((4, 16, 16, 3), np.uint8))
    with refused(StatusCode.FAILED_PRECONDITION, StatusCode.INVALID_ARGUMENT):
        session.Filter(observations=frames, actions=tensor(some_actions(session.space, 0, 4)))
    session.Filter(observations=frames, begin=bools(1, 1, 1, 1))
    session.Reset()
    session.act(0)
    session.Snapshot()
    session.rollout(lanes=lanes(index=[3, 3]), actions=tensor(some_actions(session.space, 0, 2, 3)))
    session.close()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_session_is_heard_by_others(channel: grpc.Channel, kind: str):
    ours = Listening(channel)
    session, pieces = secrets_of(ours, kind)
    assert len(pieces) > 20
    assert sum(piece in ours.heard for piece in pieces) > 10, "a canary that never sings"
    others = Listening(channel)
    for _ in range(3):  # beside it
        hear(others, kind)
    session.close()
    for _ in range(4):  # and in the lanes that were its own
        hear(others, kind)
    assert len(others.heard) > 10_000
    assert [piece for piece in pieces if piece in others.heard] == []


def test_refusals_do_not_quote_others(serve, lively: Path):
    own = serve()
    with grpc.insecure_channel(own.address, OWN_CONNECTION) as channel:
        session, _ = secrets_of(Raw(channel), "features")
        with Attacker(own.address, "lively", 3) as attacker:
            attacker.attack(300)
            told = " ".join(attacker.told)
        assert len(told) > 1000
        assert session.name not in told
        assert str(SEED) not in told
