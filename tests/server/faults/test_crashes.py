"""Clients that are killed leave nothing behind but what their lease holds, and then nothing."""

from __future__ import annotations

from crowds import kill_crowds, left_behind, quiet
from server_process import ServerProcess

SECONDS = 30.0


def test_killed_clients_leave_nothing_behind(lively, tmp_path):
    config = dict(models=(str(lively),), lanes=96, lease_seconds=1.0, key_file=tmp_path / "key")
    with ServerProcess(**config) as server:
        # By the first crowd's end, lanes of all kinds have been made, and what else is made once.
        kill_crowds(server.address, "lively", crowds=1, clients=12, seed=0, longest=0.5)
        before = quiet(server, SECONDS)
        assert before.lanes == 0
        kill_crowds(server.address, "lively", crowds=3, clients=20, seed=1, longest=0.5)
        assert left_behind(server, before, SECONDS) == {}
