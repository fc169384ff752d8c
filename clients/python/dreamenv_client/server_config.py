"""Where a dream server is, and how to talk to it. No grpc in here."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ServerConfig:
    """Where a dream server is, and how to talk to it. Plain values, so that specs serialise."""

    address: str
    """``"host:port"``."""
    token_file: str | None = None
    """Path of a file that holds the token; None for the environment's ``DREAMENV_TOKEN``, if any.
    """
    tls: bool | str | None = None
    """True to trust the system's authorities, or the path of a file of certificates to trust; None
    for the path in the environment's ``DREAMENV_CA``, or no encryption if there is none."""
    client_cert: str | None = None
    """Path of the certificate to show, where the server asks for one; with ``client_key``."""
    client_key: str | None = None
    insecure: bool = False
    """Send the token without encryption, to another host too: whoever is on the way can read it."""
    token: str | None = field(default=None, repr=False)
    """The token itself. It is left out of pickles: a process that is to have it needs the file or
    the environment."""

    def __post_init__(self) -> None:
        address = self.address
        known = r"unix:.+|\[[0-9a-fA-F:.]+\]:\d{1,5}|[^\s:/\[\]]+:\d{1,5}"
        if not isinstance(address, str) or not re.fullmatch(known, address):
            raise ValueError(f'server is {address!r}; expected "host:port", as "gpu-box:50051".')
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key go together; expected both or none.")
        if not isinstance(self.tls, bool | str | None):
            raise ValueError(f"tls is {self.tls!r}; expected True, False, or a path.")

    def authorities(self) -> bool | str:
        """Whom to trust: as ``tls``, but never None."""
        if self.tls is not None:
            return self.tls
        return os.environ.get("DREAMENV_CA") or self.client_cert is not None

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes along with every call: the token, if there is one.

        Raises:
            ValueError: it would cross a network unencrypted.
            OSError: no such file.
        """
        token = self.token or os.environ.get("DREAMENV_TOKEN")
        if self.token is None and self.token_file is not None:
            token = Path(self.token_file).read_text().strip()
        if not token:
            return ()
        if not (self.authorities() or self.insecure or _is_loopback(self.address)):
            raise ValueError(
                f"the token would go to {self.address} unencrypted; expected TLS: give tls=True, "
                "or the path of the server's certificates as tls= or in DREAMENV_CA. Only where "
                "nobody else is on the network: insecure=True."
            )
        return (("authorization", f"Bearer {token}"),)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"token": None}


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
