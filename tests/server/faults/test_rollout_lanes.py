"""Rollouts hold lanes of their own: counted, given back, and not taken hostage."""

from __future__ import annotations

import threading
import time
from collections import Counter

import grpc
import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_server.quotas import QuotaConfig
from grpc import StatusCode
from own_server import OwnServer
from raw_dreams import OWN_CONNECTION, Dreams, code_of, refused
from raw_session import Session, open_request, shown
from raw_tensors import tensor
from vitals import vitals

PATIENCE = 30.0
LASTING = pb.Knobs(termination="none", horizon=10_000)


def ahead(session: Session, lanes: int, steps: int) -> pb.RolloutRequest:
    """A rollout of so many copies of the first lane."""
    actions = tensor(np.zeros((lanes, steps, 3), np.float32))
    which = pb.LaneIndices(index=[0] * lanes)
    return pb.RolloutRequest(header=session.header(), lanes=which, actions=actions)


def lanes_soon(own: OwnServer, lanes: int) -> bool:
    """Whether so many are held, or come to be."""
    end = time.monotonic() + PATIENCE
    while own.ask(vitals).lanes != lanes:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_rollout_that_nobody_reads_loses_its_lanes(serve):
    own = serve(lease_seconds=1.0)
    with grpc.insecure_channel(own.address, OWN_CONNECTION) as channel:
        dreams = Dreams(channel)
        before = own.ask(vitals)
        session = Session(dreams, dreams.OpenSession(open_request("lively", 1, knobs=LASTING)))
        session.Reset()
        replies = dreams.Rollout(ahead(session, 63, 5000))
        next(replies)
        assert own.ask(vitals).lanes == 64
        assert lanes_soon(own, 1) or lanes_soon(own, 0)
        with refused(StatusCode.RESOURCE_EXHAUSTED, match="read"):
            list(replies)
        assert lanes_soon(own, 0)
    assert own.ask(vitals).beyond(before).get("tasks", 0) == 0


def test_a_rollouts_lanes_count_among_those_of_its_client(serve):
    own = serve(quotas=QuotaConfig(lanes_per_client=8))
    with grpc.insecure_channel(own.address, OWN_CONNECTION) as channel:
        dreams = Dreams(channel)
        session = Session(dreams, dreams.OpenSession(open_request("lively", 2, knobs=LASTING)))
        session.Reset()
        for _ in range(3):  # and are given back, whether it was made or not
            assert len(list(dreams.Rollout(ahead(session, 6, 3)))) >= 1
            with refused(StatusCode.RESOURCE_EXHAUSTED, match="lanes of a client"):
                list(dreams.Rollout(ahead(session, 7, 3)))


def test_rollouts_beside_steps_that_end_episodes(serve):
    """A lane may be over by the time that a rollout is begun with it."""
    own = serve()
    with grpc.insecure_channel(own.address, OWN_CONNECTION) as channel:
        dreams = Dreams(channel)
        short = pb.Knobs(termination="none", horizon=2)
        session = Session(dreams, dreams.OpenSession(open_request("lively", 2, knobs=short)))
        session.Reset()
        codes: Counter[StatusCode] = Counter()
        over = threading.Event()

        def roll_out() -> None:
            while not over.is_set():
                codes[code_of(lambda: list(dreams.Rollout(ahead(session, 2, 3))))] += 1

        threads = [threading.Thread(target=roll_out) for _ in range(2)]
        for thread in threads:
            thread.start()
        ended = np.zeros(2, np.bool_)
        while sum(codes.values()) < 400:
            step = shown(session.act(0, ended))
            ended = step["terminated"] | step["truncated"]
        over.set()
        for thread in threads:
            thread.join()
        assert codes[StatusCode.OK]
        assert set(codes) <= {StatusCode.OK, StatusCode.FAILED_PRECONDITION}
