"""The server is killed, drained, replaced: who goes on, who cannot, and what they are told."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from dreamenv_client import ModelChanged, RemoteDreamVectorEnv, SessionLost
from dreamenv_client.stream import Stream
from far_server import FarServer
from gymnasium.utils.env_checker import data_equivalence
from lively import save_lively

from dreamenv.make import make_vector_env
from dreamenv.packages import load_package
from dreamenv.real import RealFilter

LANES = 3


def same(one, other):
    assert data_equivalence(one, other, exact=True), (one, other)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One of its own, to be killed; its model may be replaced, and is afterwards put back."""
    folder = tmp_path_factory.mktemp("restarts")
    save_lively(folder / "lively")
    with FarServer(folder, [str(folder / "lively")]) as far:
        far.folder = folder
        yield far


@pytest.fixture
def near(server):
    envs = make_vector_env(str(server.folder / "lively"), LANES)
    envs.action_space.seed(0)
    yield envs
    envs.close()


def walk(remotes, near, steps):
    for _ in range(steps):
        actions = near.action_space.sample()
        expected = near.step(actions)
        for remote in remotes:
            same(remote.step(actions), expected)


def restart(server):
    server.kill()
    server.start()


def test_clients_with_a_snapshot_go_on_and_others_are_told(server, near):
    """Killed where the last call was a step, a knob, a branch, or a snapshot; and twice running."""
    remotes = [
        RemoteDreamVectorEnv("lively", LANES, server=server.address, snapshot_every=every)
        for every in (1, 4, 1000)
    ]
    without = RemoteDreamVectorEnv("lively", LANES, server=server.address)
    everyone = [*remotes, without]
    near.set_knobs(horizon=30)
    for remote in everyone:
        remote.set_knobs(horizon=30)
    expected = near.reset(seed=1)
    for remote in everyone:
        same(remote.reset(seed=1), expected)
    walk(everyone, near, 9)
    restart(server)
    with pytest.raises(SessionLost, match=r"no longer knows this session.*snapshot_every=N"):
        without.step(near.action_space.sample())
    walk(remotes, near, 40)
    near.set_knobs(lanes=[0], temperature=0.2)
    for remote in remotes:
        remote.set_knobs(lanes=[0], temperature=0.2)
    restart(server)
    restart(server)
    walk(remotes, near, 3)
    expected = near.branch([0], [1], [9])
    for remote in remotes:
        same(remote.branch([0], [1], [9]), expected)
    restart(server)
    walk(remotes, near, 3)
    here = near.snapshot()
    theirs = [remote.snapshot() for remote in remotes]
    walk(remotes, near, 1)
    restart(server)  # the key is kept, and so are the snapshots good
    expected = near.restore(here)
    for remote, snapshot in zip(remotes, theirs, strict=True):
        same(remote.restore(snapshot), expected)
    walk(remotes, near, 10)
    without.close()
    same(without.reset(seed=5), near.reset(seed=5))
    for remote in everyone:
        remote.close()


def test_a_first_reset_without_seeds_is_brought_back_too(server):
    remote = RemoteDreamVectorEnv("lively", LANES, server=server.address, snapshot_every=100)
    remote._lanes.open()
    lanes = remote._lanes.current()
    first = lanes.reset()
    actions = np.zeros((LANES, 3), np.float32)
    before = lanes.step(actions)
    restart(server)
    here = lanes.snapshot()
    again = lanes.restore(here)
    assert again.observation.tobytes() == before.observation.tobytes()
    assert first.observation.tobytes() != before.observation.tobytes()
    remote.close()


def test_a_call_under_way_when_the_server_is_killed_happens_once(server, near, monkeypatch):
    remote = RemoteDreamVectorEnv("lively", LANES, server=server.address, snapshot_every=5)
    same(remote.reset(seed=1), near.reset(seed=1))
    exchange, left = Stream.exchange, [7]

    def killing(stream, message):
        left[0] -= 1
        if left[0] == 0:
            stream._put(message)
            stream.receive()  # it was carried out; the answer is lost with the server
            restart(server)
        return exchange(stream, message)

    monkeypatch.setattr(Stream, "exchange", killing)
    walk([remote], near, 15)
    assert left[0] < 0
    remote.close()


def test_a_drained_server_says_where_its_sessions_stand(server, near):
    """Who was on a stream goes on with the next one, though it took no snapshots."""
    remote = RemoteDreamVectorEnv("lively", LANES, server=server.address)
    untouched = RemoteDreamVectorEnv("lively", LANES, server=server.address)
    same(remote.reset(seed=1), near.reset(seed=1))
    untouched._lanes.open()  # no call was made: nothing is to be lost
    walk([remote], near, 7)
    server.drain()
    server.start()
    walk([remote], near, 5)
    untouched.reset(seed=3)
    server.drain()
    server.start()
    walk([remote], near, 5)
    remote.close()
    untouched.close()


def test_a_filter_is_brought_back_with_the_frames_it_has_seen(server):
    package = load_package(server.folder / "lively")
    oracle = RealFilter(package, "features")
    remote = RemoteDreamVectorEnv("lively", 1, server=server.address, snapshot_every=2)
    remote._lanes.open()
    lanes = remote._lanes.current()
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    actions = rng.uniform(-1, 1, (8, 3)).astype(np.float32)
    for _ in range(2):
        seen = lanes.filter(frames[:1], begin=np.ones(1, bool))
        assert seen[0].tobytes() == oracle.begin(frames[0]).tobytes()
        for time in range(1, 8):
            if time == 5:
                restart(server)
            seen = lanes.filter(frames[time, None], actions[time, None])
            assert seen[0].tobytes() == oracle.posterior(actions[time], frames[time]).tobytes()
    remote.close()


def test_another_model_or_another_key_does_not_go_on_unnoticed(server, near):
    def begun():
        remote = RemoteDreamVectorEnv("lively", LANES, server=server.address, snapshot_every=2)
        remote.reset(seed=1)
        for _ in range(5):
            remote.step(near.action_space.sample())
        return remote

    remote = begun()
    server.kill()
    kept = server.folder / "kept"
    (server.folder / "lively").rename(kept)
    save_lively(server.folder / "lively", seed=1)
    server.start()
    with pytest.raises(ModelChanged, match=r"restarted with another identity of lively"):
        remote.step(near.action_space.sample())
    remote.close()
    server.kill()
    shutil.rmtree(server.folder / "lively")
    kept.rename(server.folder / "lively")
    server.start()
    remote = begun()
    server.kill()
    (server.folder / "key").unlink()
    server.start()
    with pytest.raises(SessionLost, match=r"cannot go on with the session.*another key"):
        remote.step(near.action_space.sample())
    remote.close()
    remote = begun()
    remote.close()
