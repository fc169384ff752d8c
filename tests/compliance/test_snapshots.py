"""Snapshot, Restore and Branch: moments, copied bitwise."""

from __future__ import annotations

import numpy as np
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import refused
from raw_session import Session, assert_same, shown
from raw_tensors import bools, seeds, some_actions, tensor

WRONG_BLOB = (StatusCode.PERMISSION_DENIED, StatusCode.INVALID_ARGUMENT)


def lanes(*index: int) -> pb.LaneIndices:
    return pb.LaneIndices(index=index)


@pytest.fixture
def going(make_session) -> Session:
    session = make_session()
    session.Reset(seeds=seeds(1, 2, 3))
    session.act(0)
    return session


def test_restored_lanes_go_on_as_they_did(going: Session):
    before = going.act(1)
    blob = going.Snapshot().snapshot
    future = [going.act(luck) for luck in range(2, 6)] + [going.Reset()]
    restored = going.Restore(snapshot=blob)
    assert shown(restored)["observation"].tobytes() == shown(before)["observation"].tobytes()
    assert not shown(restored)["reward"].any()
    for step, luck in zip(future, range(2, 6), strict=False):
        assert_same(going.act(luck), step)
    assert_same(going.Reset(), future[-1])


def test_another_session_goes_on_from_a_snapshot(going: Session, make_session):
    blob = going.Snapshot().snapshot
    other = make_session()
    other.Restore(snapshot=blob)
    for luck in range(3):
        assert_same(other.act(luck), going.act(luck))


def test_lanes_are_restored_in_the_order_named(going: Session, make_session):
    other = make_session()
    other.Reset(seeds=seeds(7, 8, 9))
    blob = going.Snapshot(lanes=lanes(2, 0)).snapshot
    other.Restore(snapshot=blob, lanes=lanes(1, 2))
    actions = some_actions(going.space, 5, 3)
    ours = shown(going.Step(actions=tensor(actions)))
    theirs = shown(other.Step(actions=tensor(actions[[1, 2, 0]])))
    for name, values in ours.items():
        assert theirs[name][1].tobytes() == values[2].tobytes()
        assert theirs[name][2].tobytes() == values[0].tobytes()


def test_a_snapshot_holds_the_knobs(make_session):
    ours, other = make_session(knobs=pb.Knobs(horizon=2)), make_session()
    ours.Reset()
    ours.act(0)
    other.Restore(snapshot=ours.Snapshot().snapshot)
    assert shown(other.act(0))["truncated"].all()


def test_a_restored_lane_that_was_over_shows_it_again(make_session):
    ours, other = make_session(knobs=pb.Knobs(horizon=1)), make_session()
    ours.Reset()
    last = shown(ours.act(0))
    blob = ours.Snapshot().snapshot
    ours.Reset()
    for session in (ours, other):
        again = shown(session.Restore(snapshot=blob))
        assert again["truncated"].all()
        assert again["observation"].tobytes() == last["observation"].tobytes()
        with refused(StatusCode.FAILED_PRECONDITION):
            session.act(1)


def test_another_number_of_lanes(going: Session):
    blob = going.Snapshot(lanes=lanes(0, 1)).snapshot
    with refused(StatusCode.INVALID_ARGUMENT):
        going.Restore(snapshot=blob)
    with refused(StatusCode.INVALID_ARGUMENT):
        going.Restore(snapshot=blob, lanes=lanes(0))


@pytest.mark.parametrize("wrong", [(3,), (0, 0), (2**32 - 1,)])
def test_lanes_that_are_not_there(going: Session, wrong: tuple[int, ...]):
    blob = going.Snapshot().snapshot
    for method, fields in (("Snapshot", {}), ("Restore", {"snapshot": blob})):
        with refused(StatusCode.INVALID_ARGUMENT):
            getattr(going, method)(lanes=lanes(*wrong), **fields)


def test_a_tampered_snapshot(going: Session, make_session):
    twin = make_session()
    twin.Restore(snapshot=going.Snapshot().snapshot)
    blob = going.Snapshot().snapshot
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(blob), 30):
        bent = bytearray(blob)
        bent[place] ^= 1 << int(rng.integers(8))
        with refused(*WRONG_BLOB):
            going.Restore(snapshot=bytes(bent))
    signed = pb.SignedSnapshot.FromString(blob)
    signed.state += b"\0"
    with refused(StatusCode.PERMISSION_DENIED):
        going.Restore(snapshot=signed.SerializeToString())
    assert_same(going.act(1), twin.act(1))


@pytest.mark.parametrize("blob", [b"", b"\0", b"\xff" * 100, b"x" * 100_000], ids=len)
def test_what_is_no_snapshot(going: Session, blob: bytes):
    with refused(*WRONG_BLOB):
        going.Restore(snapshot=blob)
    going.act(1)


def test_a_snapshot_signed_by_somebody_else(going: Session):
    signed = pb.SignedSnapshot.FromString(going.Snapshot().snapshot)
    signed.signature = b"\0" * len(signed.signature)
    with refused(StatusCode.PERMISSION_DENIED):
        going.Restore(snapshot=signed.SerializeToString())


def test_a_branch_has_its_sources_future(going: Session):
    going.Branch(source=lanes(0, 0), target=lanes(1, 2))
    for luck in range(3):
        actions = np.repeat(some_actions(going.space, luck, 1), 3, axis=0)
        seen = shown(going.Step(actions=tensor(actions)))
        for values in seen.values():
            assert values[0].tobytes() == values[1].tobytes() == values[2].tobytes()


def test_a_branch_shows_its_source_and_leaves_the_others_alone(going: Session):
    before = shown(going.act(1))["observation"]
    after = shown(going.Branch(source=lanes(0), target=lanes(2)))
    assert after["observation"].tobytes() == before[[0, 1, 0]].tobytes()
    assert not after["reward"].any()


def test_a_branch_under_another_seed_goes_its_own_way(going: Session):
    going.Branch(source=lanes(0, 0), target=lanes(0, 1), seeds=seeds(77, 78))
    actions = np.repeat(some_actions(going.space, 1, 1), 3, axis=0)
    seen = shown(going.Step(actions=tensor(actions)))["observation"]
    assert not np.array_equal(seen[0], seen[1])


def test_lanes_can_change_places(going: Session):
    before = shown(going.act(1))["observation"]
    after = going.Branch(source=lanes(1, 2, 0), target=lanes(0, 1, 2))
    assert shown(after)["observation"].tobytes() == before[[1, 2, 0]].tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        dict(source=lanes(0), target=lanes(1, 2)),
        dict(source=lanes(0, 0), target=lanes(1, 1)),
        dict(source=lanes(3), target=lanes(1)),
        dict(source=lanes(0), target=lanes(3)),
        dict(source=lanes(0), target=lanes(1), seeds=seeds(1, 2)),
        dict(source=lanes(0), target=lanes(1), seeds=seeds(-1)),
        dict(source=lanes(0), target=lanes(1), seeds=bools(1)),
    ],
    ids=range(7),
)
def test_wrong_branches_change_nothing(going: Session, make_session, wrong: dict):
    twin = make_session()
    twin.Restore(snapshot=going.Snapshot().snapshot)
    with refused(StatusCode.INVALID_ARGUMENT):
        going.Branch(**wrong)
    assert_same(going.act(1), twin.act(1))


def test_a_branch_from_a_lane_that_never_began(session: Session):
    session.Reset(mask=bools(1, 1, 0))
    with refused(StatusCode.FAILED_PRECONDITION, match="never"):
        session.Branch(source=lanes(2), target=lanes(0))
    session.Branch(source=lanes(0), target=lanes(2))
    session.act(0)
