"""Hostile input: each case a proper status, and nobody else notices."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from attacker import PROPER, Attacker
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from mutations import http2_garbage
from own_server import OwnServer
from raw_dreams import OWN_CONNECTION, SERVICE, Dreams, code_of, refused
from raw_session import Session, StreamSession, open_request, shown
from raw_tensors import tensor
from server_process import ServerProcess
from vitals import vitals
from witness import Witness

STALL = 5.0
"""Seconds that a step of somebody else may take meanwhile, on however slow a machine."""


@pytest.fixture
def own(serve) -> OwnServer:
    return serve(max_message_mb=1)


@pytest.fixture
def witness(own: OwnServer, lively: Path) -> Iterator[Witness]:
    """A session that behaves, for as long as the test runs."""
    with Witness(own.address, "lively", lively) as watching:
        yield watching
    assert watching.seconds
    assert max(watching.seconds) < STALL


@pytest.fixture
def dreams(own: OwnServer) -> Iterator[Dreams]:
    with grpc.insecure_channel(own.address, OWN_CONNECTION) as channel:
        yield Dreams(channel)


def test_bent_messages(own: OwnServer, witness: Witness):
    with Attacker(own.address, "lively", 7) as attacker:
        attacker.attack(1500)
    assert not attacker.faults, attacker.faults[0]
    assert {code for _, code in attacker.answers} <= PROPER
    assert len({kind for kind, _ in attacker.answers}) >= 8
    assert attacker.answers["bent call", StatusCode.OK] > 20, "bent calls hardly got anywhere"
    assert attacker.answers["bent call", StatusCode.INVALID_ARGUMENT] > 100


def test_messages_larger_than_the_server_takes(dreams: Dreams, witness: Witness):
    session = Session(dreams, dreams.OpenSession(open_request("lively", 2)))
    first = session.Reset()
    large = tensor(np.zeros(3 << 20, np.uint8))
    for method, fields in [
        ("Step", dict(actions=large)),
        ("Filter", dict(observations=large)),
        ("Restore", dict(snapshot=bytes(3 << 20))),
        ("Reset", dict(options=pb.Options(observations=large))),
    ]:
        with refused(StatusCode.RESOURCE_EXHAUSTED):
            session.ask(method, 2, **fields)
    with refused(StatusCode.RESOURCE_EXHAUSTED):
        session.rollout(actions=large)
    streamed = StreamSession(dreams, session.info)
    with refused(StatusCode.RESOURCE_EXHAUSTED):
        streamed.Step(actions=large)
    again = StreamSession(dreams, session.info)
    assert again.Reset(seq=1) == first
    again.close()


def test_a_flood_of_openings(own: OwnServer, dreams: Dreams, witness: Witness):
    """All at once. gRPC itself sends some away as they come, to be tried again: UNAVAILABLE."""
    call = dreams.channel.unary_unary(f"/{SERVICE.full_name}/OpenSession")
    sent = [
        call.future(open_request("lively", 1).SerializeToString(), timeout=60) for _ in range(3000)
    ]
    codes = Counter(one.code() for one in sent)
    assert set(codes) <= {StatusCode.OK, StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNAVAILABLE}
    free = 64 - 3  # the witness has three
    assert codes[StatusCode.OK] == free
    for one in sent:
        if one.code() is StatusCode.OK:
            info = pb.SessionInfo.FromString(one.result())
            Session(dreams, info).close()
    Session(dreams, dreams.OpenSession(open_request("lively", free))).close()


def test_garbage_on_the_port(own: OwnServer, dreams: Dreams, witness: Witness):
    luck = random.Random(5)
    host, port = own.address.split(":")
    before = own.ask(vitals)
    for _ in range(300):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(http2_garbage(luck))
    assert code_of(lambda: dreams.ListModels(pb.ListModelsRequest())) is StatusCode.OK
    assert own.ask(vitals).memory - before.memory < 64


def test_who_never_reads_is_not_waited_for(lively: Path, tmp_path: Path):
    """Neither by others, nor by keeping for them in memory all that they asked for."""
    config = dict(models=(str(lively),), lanes=256, key_file=tmp_path / "key")
    with (
        ServerProcess(**config) as server,
        grpc.insecure_channel(server.address, OWN_CONNECTION) as channel,
        Witness(server.address, "lively", lively) as witness,
    ):
        dreams = Dreams(channel)
        greedy = open_request("lively", 128, observation="pixels")
        session = StreamSession(dreams, dreams.OpenSession(greedy))
        frames = shown(session.Reset())["observation"].nbytes
        before = server.vitals().memory
        actions = np.zeros((128, 3), np.float32)
        steps = 3000
        for seq in range(2, steps):
            step = pb.StepRequest(actions=tensor(actions), reset=tensor(np.ones(128, np.bool_)))
            session.stream.send(seq=seq, step=step)
        seen = len(witness.seconds)
        while len(witness.seconds) < seen + 200:
            assert witness.running
        assert server.vitals().memory - before < frames * steps / 2**20 / 4
        Session.close(session)
    assert max(witness.seconds) < STALL
