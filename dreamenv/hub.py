"""Packages on the Hugging Face Hub: push one, pull one. Needs the extra ``hub``.

A download holds the four files of a package and nothing else, as plain files in a folder named by
its commit, and is checked like any other package before it is used.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dreamenv.cache import cache_folder
from dreamenv.errors import PackageError
from dreamenv.package_files import MAX_BYTES, MAX_PACKAGE_BYTES
from dreamenv.sources import is_hub_id

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def push(
    path: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    message: str = "Upload a dream package",
    client: HfApi | None = None,
) -> str:
    """Upload a package, making the repository if need be; returns the commit's address.

    Args:
        repo_id: ``"org/name"``.
        client: whom to ask; ``huggingface_hub.HfApi()`` if None, with the token of
            ``hf auth login``.

    Raises:
        PackageError: not a valid package (nothing was uploaded then), a bad name, or the hub
            refused.
        ImportError: without the extra ``hub``.
    """
    from dreamenv.packages import verify_package

    _check_id(repo_id)
    client = client or _client()
    verify_package(path)
    with _refusals(repo_id):
        client.create_repo(repo_id, private=private, exist_ok=True)
        commit = client.upload_folder(
            repo_id=repo_id,
            folder_path=Path(path),
            allow_patterns=list(MAX_BYTES),
            commit_message=message,
        )
    return str(commit.commit_url)


def pull(repo_id: str, revision: str | None = None, *, client: HfApi | None = None) -> Path:
    """Download a package and check it in full; returns its folder.

    Args:
        repo_id: ``"org/name"``.
        revision: branch, tag or commit; the default branch if None.
        client: see :func:`push`.

    Raises:
        PackageError: no such package there, or it is not a valid one (nothing of it is kept then).
        ImportError: without the extra ``hub``.
    """
    from dreamenv.packages import verify_package

    folder = download(f"{repo_id}@{revision}" if revision else repo_id, client=client)
    try:
        verify_package(folder)
    except PackageError:
        shutil.rmtree(folder)
        raise
    return folder


def download(hub_id: str, *, client: HfApi | None = None) -> Path:
    """:func:`pull` without the check, which loading does anyway: no torch is imported.

    Args:
        hub_id: ``"org/name"`` or ``"org/name@revision"``.
        client: see :func:`push`.
    """
    _check_id(hub_id)
    repo_id, _, revision = hub_id.partition("@")
    client = client or _client()
    with _refusals(hub_id):
        found = client.model_info(repo_id, revision=revision or None, files_metadata=True)
    _check_listing(hub_id, {file.rfilename: file.size for file in found.siblings or []})
    # The commit names a folder here, so it must be one.
    if re.fullmatch(r"[0-9a-f]{40}", found.sha or "") is None:
        raise PackageError.at(
            hub_id,
            "commit",
            expected="40 hexadecimal digits",
            found=repr(found.sha),
            fix="Check that the hub's address (HF_ENDPOINT) is right.",
        )
    folder = cache_folder() / repo_id.replace("/", "--") / str(found.sha)
    if folder.is_dir():
        return folder
    # Filled beside its place and moved there whole.
    fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    fresh.mkdir(parents=True)
    try:
        with _refusals(hub_id):
            for name in MAX_BYTES:
                client.hf_hub_download(repo_id, name, revision=found.sha, local_dir=fresh)
        shutil.rmtree(fresh / ".cache", ignore_errors=True)  # The client's notes on the download.
        if not folder.is_dir():
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _check_listing(hub_id: str, sizes: dict[str, int | None]) -> None:
    """Refuse to download what could not be a package."""
    for name, most in MAX_BYTES.items():
        size = sizes.get(name)
        if size is None or size > most:
            raise PackageError.at(
                f"{hub_id}/{name}",
                "size",
                expected=f"at most {most} bytes",
                found="no such file" if size is None else str(size),
                fix="Check that the repository holds a dream package at its top.",
            )
    total = sum(sizes[name] or 0 for name in MAX_BYTES)
    if total > MAX_PACKAGE_BYTES:
        raise PackageError.at(
            hub_id,
            "size",
            expected=f"at most {MAX_PACKAGE_BYTES} bytes in all",
            found=str(total),
            fix="Use another package.",
        )


def _check_id(hub_id: str) -> None:
    if not is_hub_id(hub_id):
        raise PackageError.at(
            hub_id,
            "name",
            expected='"org/name" or "org/name@revision" of letters, digits, "-", "_" and "."',
            found=repr(hub_id),
            fix="Correct the name.",
        )


def _client() -> HfApi:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ImportError(
            'the Hugging Face Hub needs huggingface_hub: pip install "dreamenv[hub]"; '
            "a local folder works without it"
        ) from error
    return HfApi()


@contextmanager
def _refusals(hub_id: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Its errors derive from another HTTP library in each major version.
        raise PackageError.at(
            hub_id,
            "hub",
            expected="a repository that can be reached",
            found=f"{type(error).__name__}: {error}",
            fix="No folder here has that name, so it was taken for a hub id. Check the name, the "
            "network, and `hf auth login` if it is private.",
        ) from error
