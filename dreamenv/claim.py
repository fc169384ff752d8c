"""What a folder's work follows from, written down, so that it is only gone on with by the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dreamenv.errors import DataError


def claim(path: Path, work: dict[str, Any]) -> None:
    """Write ``work`` (JSON values) to ``path``, or check that it is what the file says.

    Raises:
        DataError: the folder belongs to other work; nothing has changed then.
    """
    work = json.loads(json.dumps(work))
    if path.exists():
        found = json.loads(path.read_text())
        for name, value in work.items():
            if found.get(name) != value:
                raise DataError(
                    f"{path}: {name} differs: expected {value}, found {found.get(name)}; choose "
                    "another folder, or give what this one was begun with"
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, work)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one rename."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.replace(path)
