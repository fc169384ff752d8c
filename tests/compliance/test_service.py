"""What stands round the service: tokens, health, reflection."""

from __future__ import annotations

import grpc
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from raw_dreams import SERVICE, Dreams, refused
from raw_session import Session, StreamSession, open_request


@pytest.mark.parametrize("service", ["", SERVICE.full_name])
def test_health(channel: grpc.Channel, dreams: Dreams, service: str):
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    reply = stub.Check(request, timeout=60, metadata=dreams.metadata)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection(channel: grpc.Channel, dreams: Dreams):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    ask = reflection_pb2.ServerReflectionRequest
    requests = [ask(list_services=""), ask(file_containing_symbol=SERVICE.full_name)]
    replies = stub.ServerReflectionInfo(iter(requests), timeout=60, metadata=dreams.metadata)
    listed, described = list(replies)
    names = [each.name for each in listed.list_services_response.service]
    assert SERVICE.full_name in names
    files = described.file_descriptor_response.file_descriptor_proto
    assert pb.DESCRIPTOR.serialized_pb in files


@pytest.fixture
def other(channel: grpc.Channel, served: dict[str, str | None]) -> Dreams:
    """The service as another client of it."""
    if served["other-token"] is None:
        pytest.skip("needs --token and --other-token")
    return Dreams(channel, served["other-token"])


@pytest.mark.parametrize("token", [None, "", "wrong", "é", "x" * 1000])
def test_a_wrong_token(channel: grpc.Channel, dreams: Dreams, model: pb.Model, token: str | None):
    if not dreams.metadata:
        pytest.skip("needs --token")
    stranger = Dreams(channel, None if token is None else token.encode("utf-8").hex()[:1000])
    session = Session(dreams, dreams.OpenSession(open_request(model.name, 1)))
    streamed = pb.SessionRequest(attach=pb.AttachRequest(session=session.name))
    for call in (
        lambda: stranger.ListModels(pb.ListModelsRequest()),
        lambda: stranger.GetModel(pb.GetModelRequest(name=model.name)),
        lambda: stranger.OpenSession(open_request(model.name, 1)),
        lambda: stranger.CloseSession(pb.CloseSessionRequest(header=session.header())),
        lambda: next(stranger.Session(iter([streamed]))),
        lambda: next(stranger.Rollout(pb.RolloutRequest(header=session.header()))),
    ):
        with refused(StatusCode.UNAUTHENTICATED):
            call()
    session.Reset()
    session.close()


def test_anothers_session(dreams: Dreams, other: Dreams, opened):
    ours = Session(dreams, opened())
    theirs = Session(other, ours.info)
    for call in (
        theirs.Reset,
        theirs.rollout,
        theirs.close,
        lambda: other.RenewLease(pb.RenewLeaseRequest(header=ours.header())),
        lambda: StreamSession(other, ours.info),
    ):
        with refused(StatusCode.PERMISSION_DENIED):
            call()
    ours.Reset()


def test_anothers_snapshot(dreams: Dreams, other: Dreams, opened, model: pb.Model):
    ours = Session(dreams, opened())
    ours.Reset()
    theirs = Session(other, other.OpenSession(open_request(model.name, 3)))
    with refused(StatusCode.PERMISSION_DENIED):
        theirs.Restore(snapshot=ours.Snapshot().snapshot)
    theirs.close()


def test_anothers_request_id(other: Dreams, opened, model: pb.Model):
    """Opens a session of their own, or is refused; it never gives ours away."""
    key = b"sixteen bytes id"
    ours = opened(request_id=key)
    theirs = Session(other, other.OpenSession(open_request(model.name, 3, request_id=key)))
    assert theirs.name != ours.session
    theirs.close()
