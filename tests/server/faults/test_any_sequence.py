"""Any sequence of calls, on any number of sessions, over connections that come and go."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
from dreamenv_client.remote_source import remote_source
from dreamenv_client.v1 import dream_pb2 as pb
from dreamenv_client.wire import from_lane_step
from grpc import StatusCode
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pair import assert_same
from proxy import Faults, Proxy
from raw_dreams import OWN_CONNECTION, Dreams, refused

from dreamenv.dream import Dream
from dreamenv.packages import Package, load_package

MOST = 3
"""Sessions at a time."""
number = st.integers(0, 2**32 - 1)
seed = st.integers(0, 2**63 - 1)


class Twins:
    """A session and its oracle."""

    def __init__(self, address: str, package: Package, lanes: int) -> None:
        self.far = remote_source(address, "lively").open(lanes)
        self.near = Dream(package, lanes)
        self.lanes = lanes
        self.over = np.ones(lanes, np.bool_)
        self.last: pb.LaneStep | None = None

    def both(self, method: str, *given: object) -> None:
        self.same(getattr(self.far, method)(*given), getattr(self.near, method)(*given))

    def same(self, ours, theirs) -> None:
        assert_same(ours, theirs)
        self.last, self.over = ours, theirs.terminated | theirs.truncated


class Machine(RuleBasedStateMachine):
    """Driven by Hypothesis. Every reply is compared with the oracle's, bitwise."""

    def __init__(self, server: str, package: Package, proxy: Proxy) -> None:
        super().__init__()
        self.server, self.package, self.proxy = server, package, proxy
        self.channel = grpc.insecure_channel(server, OWN_CONNECTION)
        self.dreams = Dreams(self.channel)
        self.sessions: list[Twins] = []
        self.kept: list[tuple[int, object, object]] = []

    def teardown(self) -> None:
        self.proxy.faults = None
        self.proxy.drop()
        for twins in self.sessions:
            twins.far.close()
        self.channel.close()

    def one(self, luck: int) -> Twins:
        return self.sessions[luck % len(self.sessions)]

    @initialize(lanes=st.integers(1, 3))
    def begin(self, lanes: int) -> None:
        self.open(lanes, 0)

    @precondition(lambda self: len(self.sessions) < MOST)
    @rule(lanes=st.integers(1, 3), first=seed)
    def open(self, lanes: int, first: int) -> None:
        twins = Twins(self.proxy.address, self.package, lanes)
        self.sessions.append(twins)
        twins.both("reset", None, [(first + lane) % 2**63 for lane in range(lanes)])

    @rule(luck=number, times=st.integers(1, 8))
    def step(self, luck: int, times: int) -> None:
        twins = self.one(luck)
        rng = np.random.default_rng(luck)
        for actions in rng.uniform(-1, 1, (times, twins.lanes, 3)).astype(np.float32):
            twins.both("step", actions, twins.over)

    @rule(luck=number, seeds=st.lists(st.none() | seed, min_size=3, max_size=3))
    def reset(self, luck: int, seeds: list[int | None]) -> None:
        twins = self.one(luck)
        mask = np.random.default_rng(luck).random(twins.lanes) < 0.5
        twins.both("reset", mask, seeds[: twins.lanes])

    @rule(luck=number)
    def refuse(self, luck: int) -> None:
        """A bad call: refused by both, and changes neither."""
        twins = self.one(luck)
        for lanes in (twins.far, twins.near):
            with pytest.raises(ValueError, match="shape"):
                lanes.step(np.zeros((twins.lanes, 9)))
            with pytest.raises(ValueError, match="start"):
                lanes.reset(None, None, {"start": 10**6})

    @rule(luck=number)
    def snapshot(self, luck: int) -> None:
        twins = self.one(luck)
        self.kept.append((twins.lanes, twins.far.snapshot(), twins.near.snapshot()))

    @precondition(lambda self: self.kept)
    @rule(luck=number, which=number)
    def restore(self, luck: int, which: int) -> None:
        """Into whatever session has room: another one's snapshot as well."""
        twins = self.one(luck)
        lanes, ours, theirs = self.kept[which % len(self.kept)]
        if lanes <= twins.lanes:
            into = np.random.default_rng(which).permutation(twins.lanes)[:lanes].tolist()
            twins.same(twins.far.restore(ours, into), twins.near.restore(theirs, into))

    @rule(luck=number, own=st.none() | seed)
    def branch(self, luck: int, own: int | None) -> None:
        twins = self.one(luck)
        source, target = np.random.default_rng(luck).integers(0, twins.lanes, 2).tolist()
        twins.both("branch", [source], [target], None if own is None else [own])

    @rule(luck=number)
    def configure(self, luck: int) -> None:
        twins = self.one(luck)
        rng = np.random.default_rng(luck)
        lanes = [int(rng.integers(twins.lanes))]
        knobs = {
            "temperature": float(rng.choice([0.0, 0.5, 1.0])),
            "horizon": int(rng.choice([5, 50])),
        }
        for each in (twins.far, twins.near):
            each.set_knobs(lanes, **knobs)

    @rule(luck=number)
    def look_ahead(self, luck: int) -> None:
        """A rollout, which moves nothing, against stepping a dream that is there as well."""
        twins = self.one(luck)
        if twins.over.any():
            return
        actions = np.random.default_rng(luck).uniform(-1, 1, (twins.lanes, 4, 3)).astype(np.float32)
        ahead = twins.far.rollout(actions)
        other = Dream(self.package, twins.lanes)
        other.restore(twins.near.snapshot())
        first = other.step(actions[:, 0])
        assert ahead.observation[:, 0].tobytes() == first.observation.tobytes()
        assert ahead.reward[:, 0].tobytes() == first.reward.tobytes()

    @rule()
    def drop(self) -> None:
        """Every connection: sessions attach again at their next call."""
        self.proxy.drop()

    @rule(kind=st.sampled_from(["reset", "cut", "stall"]), size=st.sampled_from([2500, 8000]))
    def roughen(self, kind: str, size: int) -> None:
        """Connections made from now on break within some bytes, or stall for a moment."""
        self.proxy.faults = Faults((kind,), size, 60.0, stall_seconds=0.02)
        self.proxy.drop()

    @rule()
    def calm(self) -> None:
        self.proxy.faults = None

    @rule(luck=number)
    def duplicate(self, luck: int) -> None:
        """The last message again, on another connection: its reply again, and nothing moves."""
        twins = self.one(luck)
        twins.both("reset", np.zeros(twins.lanes, np.bool_), None)  # so that a stream is attached
        session, epoch, seq = self.where(twins)
        header = pb.Header(session=session, epoch=epoch, seq=seq)
        for _ in range(2):
            again = self.dreams.Reset(pb.ResetRequest(header=header))
            assert_same(from_lane_step(again), twins.last)

    @rule(luck=number, off=st.sampled_from([-2, -1, 2, 3, 2**40]))
    def misnumber(self, luck: int, off: int) -> None:
        """A message that was late, or comes too early."""
        twins = self.one(luck)
        twins.both("reset", np.zeros(twins.lanes, np.bool_), None)
        session, epoch, seq = self.where(twins)
        header = pb.Header(session=session, epoch=epoch, seq=(seq + off) % 2**64)
        with refused(StatusCode.FAILED_PRECONDITION):
            self.dreams.Reset(pb.ResetRequest(header=header))
        header = pb.Header(session=session, epoch=epoch - 1, seq=seq + 1)
        with refused(StatusCode.ABORTED):
            self.dreams.Reset(pb.ResetRequest(header=header))

    def where(self, twins: Twins) -> tuple[str, int, int]:
        """Session, epoch, and number of the last call that was answered."""
        connection = twins.far._connection
        attached = connection._stream.info
        return attached.session, attached.epoch, connection._progress.answered

    @precondition(lambda self: len(self.sessions) > 1)
    @rule(luck=number)
    def close(self, luck: int) -> None:
        twins = self.sessions.pop(luck % len(self.sessions))
        twins.far.close()
        twins.far.close()
        twins.near.close()
        with pytest.raises(RuntimeError, match="closed"):
            twins.far.reset()


def test_any_sequence(serve, lively: Path):
    own = serve()
    package = load_package(lively)
    with Proxy(own.address) as proxy:
        run_state_machine_as_test(
            lambda: Machine(own.address, package, proxy),
            settings=settings(
                max_examples=25,
                stateful_step_count=30,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
