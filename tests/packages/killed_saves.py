"""Run by test_killed_saves.py: kills saves at every point and reads what each leaves.

Usage: ``python killed_saves.py OLD NEW PATH {operation,byte}``; prints a JSON list of
``[point, identity read afterwards, whether PATH itself was there]``. Each save is of NEW over a
copy of OLD, in a forked child that kills itself with SIGKILL before its n-th operation on the file
system, or is killed by the system as it writes byte n of a file.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import torch

from dreamenv.packages import Package, load_package, save_package

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


def kill_before_operation(n: int) -> None:
    left = n

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(watch)


def kill_at_byte(n: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))


def save_killed(package: Package, path: Path, mode: str, n: int) -> bool:
    """Whether the save lived to its end."""
    child = os.fork()
    if child == 0:
        (kill_before_operation if mode == "operation" else kill_at_byte)(n)
        save_package(package, path, "card of the new one")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGXFSZ)
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def main() -> None:
    torch.set_num_threads(1)
    old, new, path = (Path(argument) for argument in sys.argv[1:4])
    mode = sys.argv[4]
    before, after = load_package(old), load_package(new)
    step = 1 if mode == "operation" else 1999
    seen: list[tuple[int, str, bool]] = []
    n, alive = 0, False
    while not alive:
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        shutil.copytree(old, path)
        alive = save_killed(after, path, mode, n)
        there = path.is_dir()
        identity = load_package(path).identity
        # Whatever was left, the next save works, is what is read then, and (an hour later) tidies.
        for left in path.parent.iterdir():
            os.utime(left, (0, 0))
        save_package(before, path, "card of the old one")
        assert load_package(path).identity == before.identity
        assert [left.name for left in path.parent.iterdir()] == [path.name]
        seen.append((n, identity, there))
        n += step
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
