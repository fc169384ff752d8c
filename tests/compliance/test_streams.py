"""The Session stream: attaching, epochs, order, pipelining, errors."""

from __future__ import annotations

import grpc
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import SERVICE, Dreams, code_of, refused
from raw_session import Session, Stream, StreamSession, assert_same
from raw_tensors import bools, seeds, some_actions, tensor


def request(session: Session, luck: int) -> pb.StepRequest:
    return pb.StepRequest(actions=tensor(some_actions(session.space, luck, session.lanes)))


def test_attaching_tells_where_the_session_stands(dreams: Dreams, opened):
    unary = Session(dreams, opened())
    unary.Reset()
    unary.act(0)
    streamed = StreamSession(dreams, unary.info)
    told = streamed.attached
    assert told.session == unary.name
    assert told.epoch > unary.info.epoch
    assert (told.last_seq, told.lanes) == (2, 3)
    assert told.model.identity == unary.info.model.identity
    assert told.lease.seconds > 0
    streamed.close()


def test_both_ways_of_calling_give_the_same_bytes(dreams: Dreams, opened):
    unary, streamed = Session(dreams, opened()), StreamSession(dreams, opened())
    for luck in range(4):
        for method, fields in [
            ("Reset", dict(seeds=seeds(luck, 5, -1 if luck else 3))),
            ("Step", dict(actions=tensor(some_actions(unary.space, luck, 3)))),
            ("Configure", dict(knobs=pb.Knobs(horizon=50 + luck))),
            ("Branch", dict(source=pb.LaneIndices(index=[0]), target=pb.LaneIndices(index=[2]))),
        ]:
            assert getattr(unary, method)(**fields) == getattr(streamed, method)(**fields)
    streamed.close()


def test_a_newer_stream_fences_off_the_older_one(dreams: Dreams, opened):
    old = StreamSession(dreams, opened())
    old.Reset(seeds=seeds(1, 2, 3))
    new = StreamSession(dreams, old.info)
    assert new.epoch > old.epoch
    with refused(StatusCode.ABORTED):
        old.act(0)
    new.act(0)
    with refused(StatusCode.ABORTED):
        Session.ask(_unary(old), "Step", 3, actions=request(old, 0).actions)
    with refused(StatusCode.ABORTED):
        _unary(old).rollout()
    new.act(1)
    new.close()


def _unary(streamed: StreamSession) -> Session:
    """Calls of the same session and epoch, one by one."""
    session = Session(streamed.dreams, streamed.info)
    session.epoch, session.last = streamed.epoch, streamed.last
    return session


def test_an_epoch_of_the_future_is_refused(dreams: Dreams, opened):
    session = Session(dreams, opened())
    session.epoch += 1
    with refused(StatusCode.ABORTED):
        session.Reset()


def test_calls_without_a_stream_go_on_beside_one(dreams: Dreams, opened):
    streamed = StreamSession(dreams, opened())
    streamed.Reset(seeds=seeds(1, 2, 3))
    unary = _unary(streamed)
    unary.act(0)
    streamed.last = unary.last
    streamed.act(1)
    streamed.close()


def test_pipelined_calls_are_answered_in_order(dreams: Dreams, opened):
    piped, twin = StreamSession(dreams, opened()), StreamSession(dreams, opened())
    for session in (piped, twin):
        session.Reset(seeds=seeds(1, 2, 3))
    for seq in range(2, 34):
        piped.stream.send(seq=seq, step=request(piped, seq))
    for seq in range(2, 34):
        reply = piped.stream.reply()
        assert reply.seq == seq
        assert_same(reply.lanes, twin.act(seq))
    piped.close()
    twin.close()


def test_an_error_on_a_stream_is_a_reply_and_the_stream_goes_on(dreams: Dreams, opened):
    session = StreamSession(dreams, opened())
    session.Reset()
    session.stream.send(seq=2, reset=pb.ResetRequest(mask=bools(1)))
    session.stream.send(seq=2, step=request(session, 0))
    reply = next(session.stream.replies)
    assert reply.seq == 2
    assert reply.error.code == StatusCode.INVALID_ARGUMENT.value[0]
    assert reply.error.message
    assert session.stream.reply().WhichOneof("result") == "lanes"
    session.close()


def test_pipelined_calls_behind_a_refused_one_are_refused_too(dreams: Dreams, opened):
    """So that none is applied out of its turn."""
    session = StreamSession(dreams, opened())
    session.Reset(seeds=seeds(1, 2, 3))
    session.stream.send(seq=2, reset=pb.ResetRequest(mask=bools(1)))
    session.stream.send(seq=3, step=request(session, 0))
    with refused(StatusCode.INVALID_ARGUMENT):
        session.stream.reply()
    with refused(StatusCode.FAILED_PRECONDITION):
        session.stream.reply()
    session.close()


@pytest.mark.parametrize("first", ["step", "nothing"])
def test_the_first_message_must_attach(dreams: Dreams, opened, first: str):
    session = Session(dreams, opened())
    session.Reset()
    stream = Stream(dreams)
    stream.send(**({"seq": 2, "step": request(session, 0)} if first == "step" else {}))
    with refused(StatusCode.INVALID_ARGUMENT, StatusCode.FAILED_PRECONDITION):
        stream.reply()
    session.act(0)


def test_a_message_without_a_call(dreams: Dreams, opened):
    session = StreamSession(dreams, opened())
    session.stream.send(seq=1)
    with refused(StatusCode.INVALID_ARGUMENT):
        session.stream.reply()
    session.Reset()
    session.close()


def test_attaching_to_nothing(dreams: Dreams):
    stream = Stream(dreams)
    stream.send(attach=pb.AttachRequest(session="nobody"))
    with refused(StatusCode.NOT_FOUND):
        stream.reply()


def test_a_stream_that_says_nothing_ends_quietly(dreams: Dreams):
    stream = Stream(dreams)
    stream.sent.put(None)
    quiet = (StatusCode.OK, StatusCode.INVALID_ARGUMENT, StatusCode.FAILED_PRECONDITION)
    assert code_of(lambda: list(stream.replies)) in quiet


def test_what_is_under_way_as_the_client_stops_sending_is_answered(dreams: Dreams, opened):
    session = StreamSession(dreams, opened())
    session.stream.send(seq=1, reset=pb.ResetRequest())
    for seq in range(2, 10):
        session.stream.send(seq=seq, step=request(session, seq))
    session.stream.sent.put(None)
    assert [reply.seq for reply in session.stream.replies] == list(range(1, 10))


@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"\x0a\xff\xff\xff\xff\x0f", b"\x00"], ids=len)
def test_bytes_that_are_no_message(channel: grpc.Channel, dreams: Dreams, garbage: bytes):
    for method in SERVICE.methods:
        if method.client_streaming or method.server_streaming:
            continue
        call = channel.unary_unary(f"/{SERVICE.full_name}/{method.name}")
        with pytest.raises(grpc.RpcError) as caught:
            call(garbage, timeout=60, metadata=dreams.metadata)
        assert caught.value.code() is StatusCode.INVALID_ARGUMENT


def test_a_method_that_is_not_there(channel: grpc.Channel, dreams: Dreams):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE.full_name}/Sleep")(b"", metadata=dreams.metadata)
    assert caught.value.code() is StatusCode.UNIMPLEMENTED
