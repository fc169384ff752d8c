"""Opening, keeping and closing sessions."""

from __future__ import annotations

import secrets
import time

import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import Dreams, code_of, refused
from raw_session import Session, StreamSession, open_request


def test_what_opening_tells(opened, model: pb.Model):
    info = opened(lanes=3)
    assert len(info.session) >= 16, "the name is the key, and is not to be guessed"
    assert info.lanes == 3
    assert info.last_seq == 0
    assert info.lease.seconds > 0
    assert info.model.config == ""
    assert (info.model.name, info.model.identity) == (model.name, model.identity)
    assert info.model.action_space == model.action_space


def test_every_kind_of_observation_can_be_opened(opened, model: pb.Model, dreams: Dreams):
    for each in model.observations:
        session = Session(dreams, opened(lanes=2, observation=each.kind))
        seen = session.Reset().observation
        assert list(seen.shape) == [2, *each.space.box.shape]
        assert seen.dtype == each.space.box.dtype


def test_the_same_request_id_gives_the_same_session(opened):
    key = secrets.token_bytes(16)
    first, again = opened(request_id=key), opened(request_id=key)
    assert first.session == again.session
    assert opened().session != first.session


def test_opened_again_it_stands_where_it_stood(opened, dreams: Dreams):
    key = secrets.token_bytes(16)
    session = Session(dreams, opened(request_id=key))
    session.Reset()
    again = Session(dreams, opened(request_id=key))
    assert (again.name, again.last) == (session.name, 1)
    again.act(1)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(lanes=0),
        dict(observation="smells"),
        dict(starts="last"),
        dict(request_id=b"short"),
        dict(request_id=b"x" * 17),
        dict(knobs=pb.Knobs(horizon=0)),
        dict(knobs=pb.Knobs(horizon=10_000_001)),
        dict(knobs=pb.Knobs(horizon=-(2**63))),
        dict(knobs=pb.Knobs(fixed_temperature=-0.1)),
        dict(knobs=pb.Knobs(fixed_temperature=float("inf"))),
        dict(knobs=pb.Knobs(drawn_temperature=pb.Range(low=2.0, high=1.0))),
        dict(knobs=pb.Knobs(drawn_temperature=pb.Range(low=0.0, high=101.0))),
        dict(knobs=pb.Knobs(termination="never")),
        dict(knobs=pb.Knobs(termination_temperature=0.0)),
        dict(knobs=pb.Knobs(termination_temperature=float("nan"))),
        dict(knobs=pb.Knobs(trust_penalty=-1.0)),
        dict(knobs=pb.Knobs(trust_limit=float("inf"))),
        dict(starts="data"),
    ],
    ids=lambda wrong: " ".join(str(wrong).split()),
)
def test_wrong_requests_open_nothing(dreams: Dreams, model: pb.Model, wrong: dict):
    request = open_request(model.name, **{"lanes": 2, **wrong})
    with refused(StatusCode.INVALID_ARGUMENT):
        dreams.OpenSession(request)


def test_a_session_of_an_unknown_model(dreams: Dreams):
    with refused(StatusCode.NOT_FOUND):
        dreams.OpenSession(open_request("no such model", 1))


def test_more_lanes_than_there_are(dreams: Dreams, model: pb.Model):
    absurd = (StatusCode.RESOURCE_EXHAUSTED, StatusCode.INVALID_ARGUMENT)
    with refused(*absurd):
        dreams.OpenSession(open_request(model.name, 2**32 - 1))


def test_what_is_closed_is_gone(dreams: Dreams, opened):
    session = Session(dreams, opened())
    session.Reset()
    session.close()
    with refused(StatusCode.NOT_FOUND):
        session.act(0)
    with refused(StatusCode.NOT_FOUND):
        dreams.RenewLease(pb.RenewLeaseRequest(header=session.header()))
    with refused(StatusCode.NOT_FOUND):
        session.rollout()
    with refused(StatusCode.NOT_FOUND):
        StreamSession(dreams, session.info)


def test_closing_twice_is_fine_and_so_is_closing_nothing(dreams: Dreams, opened):
    session = Session(dreams, opened())
    session.close()
    session.close()
    dreams.CloseSession(pb.CloseSessionRequest(header=pb.Header(session="x" * len(session.name))))


def test_closing_looks_at_neither_seq_nor_epoch(dreams: Dreams, opened):
    info = opened()
    header = pb.Header(session=info.session, epoch=2**64 - 1, seq=2**64 - 1)
    dreams.CloseSession(pb.CloseSessionRequest(header=header))
    with refused(StatusCode.NOT_FOUND):
        Session(dreams, info).Reset()


def test_closing_ends_the_stream(dreams: Dreams, opened):
    streamed = StreamSession(dreams, opened())
    Session.close(streamed)
    with refused(StatusCode.NOT_FOUND):
        streamed.Reset()


@pytest.mark.parametrize("name", ["", "nobody", "\0", "é" * 9])
def test_a_session_that_never_was(dreams: Dreams, name: str):
    request = pb.ResetRequest(header=pb.Header(session=name, epoch=1, seq=1))
    with refused(StatusCode.NOT_FOUND):
        dreams.Reset(request)


def test_a_request_without_header(dreams: Dreams):
    with refused(StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT):
        dreams.Reset(pb.ResetRequest())


def test_an_abandoned_session_expires(dreams: Dreams, opened):
    session = Session(dreams, opened(lease_seconds=0.2))
    lease = session.info.lease.seconds
    assert 0 < lease <= 0.2
    session.Reset()
    for patience in (2, 4, 8, 16, 32):  # each call that finds it alive renews the lease
        time.sleep(patience * lease)
        found = code_of(lambda: session.act(0))
        if found is not StatusCode.OK:
            break
    assert found is StatusCode.NOT_FOUND, f"after {patience} times its lease of {lease} s"


def test_renewing_keeps_a_session(dreams: Dreams, opened):
    session = Session(dreams, opened(lease_seconds=2.0))
    lease = session.info.lease.seconds
    begun = asked = time.monotonic()
    while time.monotonic() - begun < 1.5 * lease:
        time.sleep(lease / 10)
        renewed = dreams.RenewLease(pb.RenewLeaseRequest(header=session.header(seq=77)))
        assert 0 < renewed.seconds <= lease
        if time.monotonic() - asked > lease / 2:
            pytest.skip("this machine is too busy to renew a lease in time")
        asked = time.monotonic()
    session.Reset()


def test_an_attached_stream_keeps_a_session(dreams: Dreams, opened):
    session = StreamSession(dreams, opened(lease_seconds=0.2))
    session.Reset()
    time.sleep(10 * session.info.lease.seconds)
    session.act(0)
    session.close()


def test_a_session_outlives_its_stream_for_a_lease(dreams: Dreams, opened):
    session = StreamSession(dreams, opened(lease_seconds=60))
    first = session.Reset(seq=1)
    session.stream.end()
    again = StreamSession(dreams, session.info)
    assert again.last == 1
    assert again.Reset(seq=1) == first
    again.close()


def test_a_session_whose_stream_ended_expires(dreams: Dreams, opened):
    session = StreamSession(dreams, opened(lease_seconds=0.2))
    session.Reset()
    lease = session.info.lease.seconds
    session.stream.end()
    header = pb.Header(session=session.info.session)
    for patience in (4, 8, 16, 32, 64):  # each renewal that finds it alive begins its lease anew
        time.sleep(patience * lease)
        found = code_of(lambda: dreams.RenewLease(pb.RenewLeaseRequest(header=header)))
        if found is not StatusCode.OK:
            break
    assert found is StatusCode.NOT_FOUND, f"after {patience} times its lease of {lease} s"


def test_calls_of_a_stale_epoch_do_not_renew_a_lease(dreams: Dreams, opened):
    info = opened(lease_seconds=0.4)
    stale = pb.Header(session=info.session, epoch=info.epoch + 1000, seq=1)
    ends = time.monotonic() + 60
    while (
        found := code_of(lambda: dreams.Reset(pb.ResetRequest(header=stale)))
    ) is StatusCode.ABORTED:
        assert time.monotonic() < ends, "it lives on the calls of nobody"
        time.sleep(0.05)
    assert found is StatusCode.NOT_FOUND
