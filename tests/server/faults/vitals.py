"""What a server holds at a moment, seen from inside."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dreamenv_server.server import DreamServer


@dataclass(frozen=True)
class Vitals:
    """Counts, and memory in MiB."""

    sessions: int
    lanes: int
    tasks: int
    files: int
    memory: float

    def beyond(self, other: Vitals) -> dict[str, int]:
        """What there is more of than there was; memory apart."""
        names = ("sessions", "lanes", "tasks", "files")
        more = {name: getattr(self, name) - getattr(other, name) for name in names}
        return {name: count for name, count in more.items() if count > 0}


def vitals(server: DreamServer) -> Vitals:
    """Called in the server's loop."""
    service = server._service
    assert service is not None
    pools = [pool for model in service._models.values() for pool in model.pools()]
    return Vitals(
        sessions=service.sessions,
        lanes=sum(pool.lanes - pool.free for pool in pools),
        tasks=len(asyncio.all_tasks()) - 1,
        files=len(os.listdir("/proc/self/fd")),
        memory=int(Path("/proc/self/statm").read_text().split()[1])
        * os.sysconf("SC_PAGE_SIZE")
        / 2**20,
    )
