"""Several hosts on one Linux machine: network namespaces, each wired to the first one alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

NETWORK = "192.0.2."
"""Set aside for examples (RFC 5737): no real host has such an address."""


class NoHosts(RuntimeError):
    """This machine makes no network namespaces, or not for this user."""


@dataclass(frozen=True)
class Host:
    """A network namespace: what runs in it has no network but a wire to another host."""

    name: str
    address: str

    def start(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a program there; its standard output can be read."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            text=True,
        )


@contextmanager
def star(centre: str, *others: str) -> Iterator[list[Host]]:
    """The hosts so named, each of the others wired to the first; they are gone afterwards.

    Raises:
        NoHosts: it takes root, and Linux with iproute2.
    """
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise NoHosts("hosts of their own take root and the command `ip` (Debian: iproute2)")
    prefix = f"dreams{os.getpid()}-"
    hosts = [
        Host(prefix + name, f"{NETWORK}{number}")
        for number, name in enumerate((centre, *others), start=1)
    ]
    made: list[Host] = []
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
            made.append(host)
            _ip("-n", host.name, "link", "set", "lo", "up")
        middle = hosts[0]
        for host in hosts[1:]:
            wire = f"to-{host.address.rpartition('.')[2]}"
            ends = (middle, wire, host), (host, "wire", middle)
            _ip("link", "add", wire, "netns", middle.name, "type", "veth",
                "peer", "name", "wire", "netns", host.name)  # fmt: skip
            for here, end, there in ends:
                _ip("-n", here.name, "address", "add", here.address, "peer", there.address,
                    "dev", end)  # fmt: skip
                _ip("-n", here.name, "link", "set", end, "up")
        yield hosts
    finally:
        for host in made:
            _ip("netns", "delete", host.name)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoHosts(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}")
