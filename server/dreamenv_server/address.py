"""Where a server listens: a host and a port."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Address:
    """A host (an IP address or a name) and a port; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, field: str = "address") -> Self:
        """Read ``host:port`` or ``[v6]:port``.

        Raises:
            ValueError: it is neither. The message names the field.

        >>> Address.parse("127.0.0.1:50051"), str(Address.parse("[::1]:0"))
        (Address(host='127.0.0.1', port=50051), '[::1]:0')
        """
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        right = port.isascii() and port.isdigit() and int(port) < 65536
        if not (colon and bare and right and (":" not in host or bare != host)):
            raise ValueError(
                f"{field}: expected host:port or [IPv6]:port, as in 127.0.0.1:50051, got {text!r}"
            )
        return cls(bare, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def at(self, port: int) -> Address:
        """The same host at another port."""
        return replace(self, port=port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
