"""Metrics, read as Prometheus reads them."""

from __future__ import annotations

import socket
import threading
import urllib.request

import pytest
from dreamenv_server.metrics import Metrics
from dreamenv_server.metrics_door import MetricsDoor
from prometheus_client.parser import text_string_to_metric_families


def read(port: int) -> dict[str, dict[tuple[str, ...], float]]:
    """Each sample by its name and the values of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels.values())
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


@pytest.fixture
def door():
    metrics = Metrics()
    door = MetricsDoor(metrics, "127.0.0.1:0")
    yield metrics, door
    door.close()


def test_what_happened_is_what_is_read(door):
    metrics, where = door
    metrics.capacity("car", "features", 100)
    metrics.session_opened("car", "features", 30)
    metrics.session_opened("car", "features", 5)
    metrics.session_closed("car", "features", 30, "expired")
    metrics.call("Step", "OK", 0.0003)
    metrics.call("Step", "OK", 0.03)
    metrics.call("Step", "INVALID_ARGUMENT", 0.0001)
    metrics.batch(35, 0.002, 0.0001)
    metrics.batch(5, 0.001, 0.0)
    metrics.rollout(640)
    metrics.replayed()
    metrics.reconnected()
    metrics.snapshot("taken")
    metrics.unauthenticated()
    metrics.moved(10, 1000)
    metrics.draining()
    found = read(where.port)
    one = {
        "dreamenv_sessions": {("car",): 1},
        "dreamenv_sessions_opened_total": {("car",): 2},
        "dreamenv_sessions_closed_total": {("car", "expired"): 1},
        "dreamenv_lanes_used": {("car", "features"): 5},
        "dreamenv_lanes_free": {("car", "features"): 95},
        "dreamenv_calls_total": {("INVALID_ARGUMENT", "Step"): 1, ("OK", "Step"): 2},
        "dreamenv_call_seconds_count": {("Step",): 3},
        "dreamenv_batch_lanes_count": {(): 2},
        "dreamenv_batch_lanes_sum": {(): 40},
        "dreamenv_batch_held_seconds_sum": {(): 0.0001},
        "dreamenv_lane_steps_total": {(): 40},
        "dreamenv_rollout_lane_steps_total": {(): 640},
        "dreamenv_replies_replayed_total": {(): 1},
        "dreamenv_reconnects_total": {(): 1},
        "dreamenv_snapshots_total": {("taken",): 1},
        "dreamenv_unauthenticated_total": {(): 1},
        "dreamenv_received_bytes_total": {(): 10},
        "dreamenv_sent_bytes_total": {(): 1000},
        "dreamenv_draining": {(): 1},
    }
    assert {name: found[name] for name in one} == one
    assert found["process_open_fds"][()] > 0
    within = found["dreamenv_call_seconds_bucket"]
    assert within["0.0001", "Step"] == 1
    assert within["0.0005", "Step"] == 2
    assert found["dreamenv_batch_lanes_bucket"]["32.0",] == 1


def test_two_servers_in_one_process_do_not_mix(door):
    _, where = door
    other = Metrics()
    other.replayed()
    assert read(where.port)["dreamenv_replies_replayed_total"][()] == 0


def test_its_port_and_thread_are_free_again():
    metrics = Metrics()
    threads = threading.active_count()
    first = MetricsDoor(metrics, "127.0.0.1:0")
    with pytest.raises(OSError, match=f"metrics-address: 127.0.0.1:{first.port} cannot be bound"):
        MetricsDoor(metrics, f"127.0.0.1:{first.port}")
    silent = socket.create_connection(("127.0.0.1", first.port))
    first.close()
    silent.close()
    again = MetricsDoor(metrics, f"127.0.0.1:{first.port}")
    again.close()
    names = [thread.name for thread in threading.enumerate()]
    assert "metrics" not in names
    assert threading.active_count() <= threads + 1  # that of the silent connection, for a moment
