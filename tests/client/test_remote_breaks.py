"""Connections break; nothing is lost and nothing happens twice. The oracle is the dream here."""

from __future__ import annotations

import os
import signal
import threading
import time

import dreamenv_client.channel as channel_module
import numpy as np
import pytest
from dreamenv_client import (
    AccessRefused,
    RemoteDreamEnv,
    RemoteDreamVectorEnv,
    ServerUnavailable,
    SessionLost,
)
from dreamenv_client.channel import channel_to
from dreamenv_client.server_config import ServerConfig
from dreamenv_client.stream import Stream, StreamBroken
from dreamenv_client.v1 import dream_pb2 as pb
from gymnasium.utils.env_checker import data_equivalence
from proxy import Faults, Proxy

from dreamenv.make import make_vector_env

LANES = 3


def same(one, other):
    assert data_equivalence(one, other, exact=True), (one, other)


@pytest.fixture
def near(packages):
    envs = make_vector_env(str(packages["lively"]), LANES)
    envs.action_space.seed(0)
    yield envs
    envs.close()


def walk(remote, near, steps):
    """Step both, and compare all that they answer."""
    for _ in range(steps):
        actions = near.action_space.sample()
        same(remote.step(actions), near.step(actions))


class Breaks:
    """Breaks the streams of this process at chosen exchanges."""

    def __init__(self, monkeypatch, failure):
        self.where: dict[int, str] = {}
        self.count = 0
        self.broken = 0
        exchange = Stream.exchange

        def broken(stream, message):
            if message[:1] == b"\x12":  # attach: of no call
                return exchange(stream, message)
            where = self.where.pop(self.count, None)
            self.count += 1
            if where is None:
                return exchange(stream, message)
            self.broken += 1
            if where == "unheard":
                exchange(stream, message)
            elif where == "under way":
                stream._put(message)
            stream.close()
            raise failure()

        monkeypatch.setattr(Stream, "exchange", broken)


@pytest.mark.parametrize("where", ["unsent", "under way", "unheard"])
def test_calls_happen_once_wherever_the_stream_breaks(far, near, monkeypatch, where):
    breaks = Breaks(monkeypatch, lambda: StreamBroken(14, "broken by the test"))
    breaks.where = dict.fromkeys(range(0, 60, 3), where)
    remote = RemoteDreamVectorEnv("lively", LANES, server=far.address)
    same(remote.reset(seed=1), near.reset(seed=1))
    walk(remote, near, 12)
    for envs in (remote, near):
        envs.set_knobs(lanes=[1], temperature=0.3)
    same(remote.branch([0], [2], [7]), near.branch([0], [2], [7]))
    here = [envs.snapshot() for envs in (remote, near)]
    walk(remote, near, 6)
    same(remote.restore(here[0]), near.restore(here[1]))
    walk(remote, near, 25)
    same(remote.reset(), near.reset())
    walk(remote, near, 3)
    assert breaks.broken == 20
    remote.close()


@pytest.mark.parametrize("where", ["unsent", "under way", "unheard"])
def test_an_interrupted_call_is_carried_out_and_its_answer_is_nobody_elses(
    far, near, monkeypatch, where
):
    breaks = Breaks(monkeypatch, KeyboardInterrupt)
    remote = RemoteDreamVectorEnv("lively", LANES, server=far.address, termination="none")
    near.set_knobs(termination="none")
    same(remote.reset(seed=1), near.reset(seed=1))
    for _ in range(4):
        breaks.where[breaks.count] = where
        actions = near.action_space.sample()
        with pytest.raises(KeyboardInterrupt):
            remote.step(actions)
        near.step(actions)
        walk(remote, near, 2)
    remote.close()


def test_an_interrupted_call_that_is_refused_is_over(far, near, monkeypatch):
    breaks = Breaks(monkeypatch, KeyboardInterrupt)
    remote = RemoteDreamVectorEnv("lively", LANES, server=far.address)
    same(remote.reset(seed=1), near.reset(seed=1))
    breaks.where[breaks.count] = "under way"
    with pytest.raises(KeyboardInterrupt):
        remote._lanes.current().reset(options={"start": 10**6})
    walk(remote, near, 3)
    remote.close()


def test_a_call_that_happened_is_not_forgotten_where_the_server_then_shuts_us_out(
    far, near, monkeypatch
):
    breaks = Breaks(monkeypatch, lambda: StreamBroken(14, "broken by the test"))
    remote = RemoteDreamVectorEnv("lively", LANES, server=far.address, termination="none")
    near.set_knobs(termination="none")
    same(remote.reset(seed=1), near.reset(seed=1))
    for where in ("unsent", "unheard"):
        breaks.where[breaks.count] = where

        def shut(*_):
            raise StreamBroken(16, "the token was revoked.")

        with monkeypatch.context() as until_then:
            until_then.setattr(Stream, "__init__", shut)
            actions = near.action_space.sample()
            for _ in range(2):
                with pytest.raises(AccessRefused, match="the token was revoked"):
                    remote.step(actions)
        near.step(actions)
        walk(remote, near, 2)
    remote.close()


def test_a_real_interrupt_while_the_server_is_silent(far, near):
    remote = RemoteDreamVectorEnv("lively", LANES, server=far.address, termination="none")
    near.set_knobs(termination="none")
    same(remote.reset(seed=1), near.reset(seed=1))
    actions = near.action_space.sample()
    near.step(actions)
    far.signal(signal.SIGSTOP)
    try:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            remote.step(actions)
        timer.join()
    finally:
        far.signal(signal.SIGCONT)
    walk(remote, near, 5)
    remote.close()


def test_through_a_proxy_that_breaks_connections_at_random(far, near):
    kinds = ("reset", "cut", "stall", "refuse")
    faults = Faults(kinds, mean_bytes=2500, mean_seconds=0.5, stall_seconds=0.05)
    with Proxy(far.address, faults, seed=3) as proxy:
        remote = RemoteDreamVectorEnv("lively", LANES, server=proxy.address)
        same(remote.reset(seed=1), near.reset(seed=1))
        walk(remote, near, 250)
        taken = np.stack([near.action_space.sample() for _ in range(5)], axis=1)
        remote.reset(seed=2)
        many = remote.rollout(taken)
        proxy.faults = None
        proxy.drop()
        same(vars(remote.rollout(taken)), vars(many))
        assert sum(proxy.broken.values()) > 10
        remote.close()


@pytest.mark.parametrize("kind", ["silence", "half-open"])
def test_a_connection_that_dies_without_a_word_is_noticed(far, near, monkeypatch, kind):
    monkeypatch.setattr(channel_module, "KEEPALIVE_SECONDS", 0.5)
    monkeypatch.setattr(channel_module, "KEEPALIVE_TIMEOUT", 0.5)
    with Proxy(far.address) as proxy:
        remote = RemoteDreamVectorEnv("lively", LANES, server=proxy.address)
        same(remote.reset(seed=1), near.reset(seed=1))
        proxy.faults = Faults((kind,), mean_bytes=1500, mean_seconds=1e6)
        proxy.drop()
        while not proxy.broken:
            walk(remote, near, 1)
        proxy.faults = None
        walk(remote, near, 2)
        remote.close()


def test_another_stream_of_the_session_is_put_up_with(far, near):
    """As a connection thought dead would be, that comes through after all."""
    remote = RemoteDreamVectorEnv("lively", LANES, server=far.address)
    same(remote.reset(seed=1), near.reset(seed=1))
    connection = remote._lanes.current()._connection
    for _ in range(2):
        late = Stream(connection.config, connection.info.session, 10.0)
        walk(remote, near, 2)
        with pytest.raises(StreamBroken, match="another stream"):
            late.receive()
    remote.close()


def test_a_session_that_somebody_else_uses_is_given_up(far, near):
    remote = RemoteDreamVectorEnv("lively", LANES, server=far.address)
    remote.reset(seed=1)
    connection = remote._lanes.current()._connection
    thief = Stream(connection.config, connection.info.session, 10.0)
    for number in (2, 3):
        thief.exchange(
            pb.SessionRequest(seq=number, snapshot=pb.SnapshotRequest()).SerializeToString()
        )
    with pytest.raises(SessionLost, match="counts 3 calls of this session; expected 1"):
        remote.step(near.action_space.sample())
    with pytest.raises(SessionLost):
        remote.step(near.action_space.sample())
    remote.close()
    thief.close()
    same(remote.reset(seed=1), near.reset(seed=1))
    walk(remote, near, 2)
    remote.close()


def test_a_lease_that_is_over_is_said_so(packages, near, tmp_path):
    from far_server import FarServer

    with FarServer(tmp_path, [str(packages["lively"])], lease_seconds=0.1) as far:
        remote = RemoteDreamVectorEnv("lively", LANES, server=far.address)
        kept = RemoteDreamVectorEnv("lively", LANES, server=far.address, snapshot_every=4)
        same(remote.reset(seed=1), near.reset(seed=1))
        kept.reset(seed=1)
        connections = [envs._lanes.current()._connection for envs in (remote, kept)]
        for connection in connections:
            connection._stream.close()
        with channel_to(connections[0].config) as channel:
            for connection in connections:
                while _lives(channel, connection.info.session):
                    time.sleep(0.05)
        with pytest.raises(SessionLost, match=r"no longer knows this session.*snapshot_every=N"):
            remote.step(near.action_space.sample())
        walk(kept, near, 5)
        remote.close()
        kept.close()


def _lives(channel, session):
    """Whether the server knows it; asked without prolonging its lease."""
    import grpc

    request = pb.StepRequest(header=pb.Header(session=session, epoch=10**6, seq=1))
    try:
        channel.call("Step", request, pb.LaneStep, 10.0)
    except grpc.RpcError as error:
        return error.code() is not grpc.StatusCode.NOT_FOUND
    raise AssertionError("a stale epoch was accepted")


def test_no_server_is_said_so_at_once_or_after_what_was_asked_for(near):
    with Proxy("127.0.0.1:1") as proxy:
        began = time.monotonic()
        with pytest.raises(ServerUnavailable, match=r"no dream server answers at .*dreamenv serve"):
            RemoteDreamEnv("Dream-CarRacing-v0", server=proxy.address, reconnect_seconds=0)
        assert time.monotonic() - began < 5


def test_a_server_that_goes_is_waited_for_and_closing_does_not_hang(packages, near, tmp_path):
    from far_server import FarServer

    with FarServer(tmp_path, [str(packages["lively"])]) as far:
        remote = RemoteDreamVectorEnv("lively", LANES, server=far.address, reconnect_seconds=0.3)
        same(remote.reset(seed=1), near.reset(seed=1))
        far.kill()
        with pytest.raises(ServerUnavailable, match=r"tried for 0 s \(reconnect_seconds\)"):
            remote.step(near.action_space.sample())
        began = time.monotonic()
        remote.close()
        remote.close()
        assert time.monotonic() - began < 5


def test_a_rate_is_kept_to_and_not_an_error(packages, near, tmp_path):
    from far_server import FarServer

    quotas = {"steps_per_second": 600.0, "burst_seconds": 0.05, "lanes_per_client": 8}
    with FarServer(tmp_path, [str(packages["lively"])], quotas=quotas) as far:
        remote = RemoteDreamVectorEnv("lively", LANES, server=far.address)
        same(remote.reset(seed=1), near.reset(seed=1))
        began = time.monotonic()
        walk(remote, near, 100)
        assert time.monotonic() - began > 0.8 * (100 * LANES - 30) / 600
        found = remote.rollout(np.zeros((LANES, 8, 3), np.float32))
        assert found.reward.shape == (LANES, 8)
        remote.close()


def test_channels_are_shared_and_go_with_their_last_user(far):
    # Under a name of its own: another test may have left an env for the collector.
    address = far.address.replace("127.0.0.1", "localhost")
    key = (os.getpid(), ServerConfig(address))
    made = [RemoteDreamEnv("lively", server=address) for _ in range(3)]
    assert key not in channel_module._channels
    for env in made:
        env.reset(seed=0)
    assert channel_module._channels[key].holders == 3
    for env in made:
        env.close()
    assert key not in channel_module._channels
