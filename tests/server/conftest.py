"""What the server's tests share: certificates, a tiny package, and calls as a client makes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def write_pem(tmp_path_factory) -> Callable[[trustme.Blob, str], Path]:
    """Writes certificates or keys to a file of a given name."""

    def write(blob: trustme.Blob, name: str) -> Path:
        path = tmp_path_factory.mktemp("pem") / name
        blob.write_to_path(path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_folder(make_package, tmp_path_factory) -> Path:
    """The folder of a package with small random weights, called "tiny"."""
    from dreamenv.packages import save_package

    return save_package(make_package(), tmp_path_factory.mktemp("tiny") / "tiny", "# tiny\n")


@pytest.fixture(scope="session")
def dreams() -> Callable[[Any], SimpleNamespace]:
    """The methods of ``dreamenv.v1.Dreams`` on an aio channel, by name."""
    from dreamenv_client.v1 import dream_pb2

    service = dream_pb2.DESCRIPTOR.services_by_name["Dreams"]

    def on(channel: Any) -> SimpleNamespace:
        found = {}
        for method in service.methods:
            kind = ("stream" if method.client_streaming else "unary") + "_"
            kind += "stream" if method.server_streaming else "unary"
            found[method.name] = getattr(channel, kind)(
                f"/{service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=getattr(dream_pb2, method.output_type.name).FromString,
            )
        return SimpleNamespace(**found)

    return on


@pytest.fixture(autouse=True)
def own_log_handlers() -> Iterator[None]:
    """Handlers that a test adds to the root logger go with it: their streams are closed by then."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
