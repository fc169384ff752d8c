"""What the server's tests share: certificates, a tiny package, and calls as a client makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
