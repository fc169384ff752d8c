"""What a package is called: a folder, a shipped id, or a hub id."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from dreamenv.errors import PackageError

ZOO = Path(__file__).parent / "zoo"
HUB_ID = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(@[A-Za-z0-9][A-Za-z0-9_.-]{0,99})?"
)


def shipped() -> list[str]:
    """Ids of the packages that come with dreamenv."""
    return sorted(config.parent.name for config in ZOO.glob("*/config.json"))


def is_hub_id(name: str) -> bool:
    """Whether a name has the form ``org/name`` or ``org/name@revision``.

    >>> [is_hub_id(name) for name in ("org/name", "org/name@main", "org/..", "a:b/c")]
    [True, True, False, False]
    """
    return HUB_ID.fullmatch(name) is not None and ".." not in name


def resolve(source: str | Path) -> Path:
    """The folder that a source names; a hub id is downloaded first.

    A shipped id comes before a folder of the same name (``./NAME`` is the folder), and a folder
    before a hub id. A ``Path`` is always a folder. Whether the folder holds a package is not
    looked at.

    Raises:
        PackageError: nothing has that name.
        ImportError: a hub id without the extra ``hub``.
    """
    if isinstance(source, Path):
        return source
    if source in shipped():
        return ZOO / source
    path = _folder(source)
    if path is not None:
        return path
    if is_hub_id(source):
        from dreamenv.hub import download

        return download(source)
    ids = shipped()
    near = difflib.get_close_matches(source, ids, n=1, cutoff=0.5)
    raise PackageError.at(
        source,
        "model",
        expected=f"a package's folder, a shipped id ({', '.join(ids) or 'none is installed'}), "
        'or a hub id "org/name"',
        found="nothing of that name",
        fix=f'Did you mean "{near[0]}"?' if near else "Check the path, or see `dreamenv list`.",
    )


def _folder(source: str) -> Path | None:
    """The path, if it is one that should be read: there is something there, a save to it was
    killed half-way, or it can be nothing but a path."""
    try:
        path = Path(source).expanduser()
        if path.name and (path.exists() or path.with_name(f".{path.name}.previous").exists()):
            return path
    except (OSError, ValueError, RuntimeError):  # Too long, a NUL in it, no such user.
        return None
    return path if source.startswith(("/", "./", "../", "~")) else None
