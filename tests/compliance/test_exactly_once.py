"""Seq: the last call may be asked for again, the next one made, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import Dreams, refused
from raw_session import Session, StreamSession, assert_same
from raw_tensors import bools, seeds, some_actions, tensor


@pytest.fixture
def going(make_session) -> Session:
    session = make_session()
    session.Reset(seeds=seeds(1, 2, 3))
    return session


@pytest.fixture
def twin(make_session) -> Session:
    """Where ``going`` is; takes each call once."""
    session = make_session()
    session.Reset(seeds=seeds(1, 2, 3))
    return session


def step(session: Session, luck: int, seq: int) -> pb.LaneStep:
    return session.Step(actions=tensor(some_actions(session.space, luck, 3)), seq=seq)


def test_the_last_seq_again_gives_the_same_reply_and_moves_nothing(going, twin):
    first = step(going, 0, seq=2)
    for _ in range(3):
        assert step(going, 0, seq=2) == first
    assert_same(first, twin.act(0))
    assert_same(step(going, 1, seq=3), twin.act(1))


def test_the_kept_reply_is_sent_whatever_is_asked(going, twin):
    first = step(going, 0, seq=2)
    assert step(going, 99, seq=2) == first
    twin.act(0)
    assert_same(step(going, 1, seq=3), twin.act(1))


@pytest.mark.parametrize("seq", [0, 1, 4, 5, 2**32 + 3, 2**63, 2**64 - 1])
def test_any_other_seq_is_refused(going, twin, seq: int):
    step(going, 0, seq=2)
    twin.act(0)
    with refused(StatusCode.FAILED_PRECONDITION):
        step(going, 1, seq=seq)
    assert_same(step(going, 1, seq=3), twin.act(1))


def test_the_first_seq_is_1(make_session):
    session = make_session()
    for seq in (0, 2):
        with refused(StatusCode.FAILED_PRECONDITION):
            session.Reset(seq=seq)
    session.Reset(seq=1)


def test_a_refused_call_leaves_its_seq_free_and_the_last_reply_kept(going, twin):
    first = step(going, 0, seq=2)
    twin.act(0)
    for _ in range(3):
        with refused(StatusCode.INVALID_ARGUMENT):
            going.Reset(mask=bools(1), seq=3)
    assert step(going, 0, seq=2) == first
    assert_same(step(going, 1, seq=3), twin.act(1))


def test_every_call_counts_and_can_be_asked_for_again(going):
    calls = [
        ("Configure", dict(knobs=pb.Knobs(horizon=500))),
        ("Snapshot", {}),
        ("Branch", dict(source=pb.LaneIndices(index=[0]), target=pb.LaneIndices(index=[1]))),
        ("Reset", dict(mask=bools(1, 0, 0))),
        ("Restore", dict(snapshot=going.Snapshot().snapshot)),
    ]
    for seq, (method, fields) in enumerate(calls, start=3):
        reply = going.ask(method, seq, **fields)
        assert going.ask(method, seq, **fields) == reply
        with refused(StatusCode.FAILED_PRECONDITION):
            going.ask(method, seq + 2, **fields)


def test_a_configure_asked_for_again_does_not_undo_a_later_one(make_session):
    session = make_session()
    session.Configure(knobs=pb.Knobs(horizon=1), seq=1)
    session.Configure(knobs=pb.Knobs(horizon=9), seq=2)
    session.Configure(knobs=pb.Knobs(horizon=1), seq=2)
    session.Reset()
    assert not any(session.act(0).truncated.data)


def test_calls_made_at_once_under_one_seq_are_applied_once(dreams: Dreams, opened):
    ours, twin = Session(dreams, opened()), Session(dreams, opened())
    for session in (ours, twin):
        session.Reset(seeds=seeds(1, 2, 3))
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: step(ours, 0, seq=2), range(8)))
    assert all(reply == replies[0] for reply in replies)
    assert_same(replies[0], twin.act(0))
    assert_same(step(ours, 1, seq=3), twin.act(1))


def test_a_stream_can_ask_again_for_what_was_called_without_one(dreams: Dreams, opened):
    unary = Session(dreams, opened())
    first = unary.Reset(seeds=seeds(1, 2, 3))
    streamed = StreamSession(dreams, unary.info)
    assert streamed.last == 1
    assert streamed.Reset(seq=1) == first
    second = streamed.act(0)
    unary.epoch = streamed.epoch
    assert step(unary, 0, seq=2) == second
    streamed.close()
