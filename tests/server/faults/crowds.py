"""Crowds of clients that are killed, and the wait until nothing of them is left."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from server_process import ServerProcess
from vitals import Vitals

CRASHING = Path(__file__).with_name("crashing.py")


def kill_crowds(
    address: str, model: str, *, crowds: int, clients: int, seed: int, longest: float
) -> None:
    """Start crowds one after another, and kill each at a random moment.

    Args:
        crowds: how many processes.
        clients: in each.
        longest: seconds that one may live once all its clients have begun.
    """
    luck = random.Random(seed)
    silent = os.environ | {"GRPC_VERBOSITY": "NONE"}
    for number in range(crowds):
        command = [sys.executable, str(CRASHING), address, model, str(clients), str(seed + number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=silent) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "crowded\n"
            time.sleep(luck.random() * longest)  # a random point of their lives
            process.kill()


def quiet(server: ServerProcess, seconds: float) -> Vitals:
    """What it holds once the last lease is over.

    Raises:
        TimeoutError: sessions are still there after so many seconds.
    """
    end = time.monotonic() + seconds
    while (now := server.vitals()).sessions:
        if time.monotonic() > end:
            raise TimeoutError(f"{now} after {seconds} s, though nobody is there.")
        time.sleep(0.2)
    return now


def left_behind(server: ServerProcess, before: Vitals, seconds: float) -> dict[str, int]:
    """What there is more of than there was, once it is nothing or the time is over."""
    end = time.monotonic() + seconds
    while (more := server.vitals().beyond(before)) and time.monotonic() < end:
        time.sleep(0.2)
    return more
