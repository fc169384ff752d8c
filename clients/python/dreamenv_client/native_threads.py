"""Threads of this process that Python knows nothing of."""

from __future__ import annotations

import os
import time

TASKS = "/proc/self/task"
UNSEEN_SECONDS = 0.05
"""What is waited where the system does not tell (it is not Linux)."""


def await_end(names: tuple[str, ...], seconds: float) -> bool:
    """Wait until no thread of this process has a name that begins so; False if one still has."""
    if not os.path.isdir(TASKS):
        time.sleep(min(UNSEEN_SECONDS, seconds))
        return True
    ends = time.monotonic() + seconds
    while any(name.startswith(names) for name in _names()):
        if time.monotonic() > ends:
            return False
        time.sleep(0.001)
    return True


def _names() -> list[str]:
    found = []
    for task in os.listdir(TASKS):
        try:
            with open(f"{TASKS}/{task}/comm") as file:
                found.append(file.read())
        except OSError:  # it has just ended
            continue
    return found
