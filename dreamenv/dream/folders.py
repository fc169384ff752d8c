"""The folders of recorded episodes that a dream is to start in. No torch in here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamenv.config import PackageConfig
from dreamenv.data.manifest import Manifest, read_manifest
from dreamenv.data.rollouts import Rollouts
from dreamenv.errors import DataError

Data = str | Path | Sequence[str | Path]


def check_data(starts: Any, data: Any) -> None:
    """Refuse ``starts="data"`` without data, and data that nothing would start in.

    Raises:
        ValueError: one without the other, or data that is no path or paths.
    """
    if (isinstance(starts, str) and starts == "data") != (data is not None):
        raise ValueError(
            f'starts is {starts!r} and data is {data!r}; expected starts="data" together with '
            "data=, the folders of dreamenv collect, or neither."
        )
    several = isinstance(data, Sequence) and not isinstance(data, str)
    paths = [*data] if several else [data]
    if data is not None and not (paths and all(isinstance(path, str | Path) for path in paths)):
        raise ValueError(
            f"data is {data!r}; expected the path of a folder of dreamenv collect, or a list of "
            "such paths."
        )


def check_folders(config: PackageConfig, data: Data) -> list[str]:
    """The folders, absolute, so that another process finds them; only manifests are read.

    Raises:
        DataError: one is no folder of rollouts, or of another real env than the package's.
    """
    folders = [Path(path) for path in ([data] if isinstance(data, str | Path) else data)]
    for folder in folders:
        _agree(config, read_manifest(folder), folder)
    return [str(folder.resolve()) for folder in folders]


def open_recorded(config: PackageConfig, data: Data) -> Rollouts:
    """The episodes.

    Raises:
        DataError: see :func:`check_folders`; or none is finished, or one is damaged.
    """
    return Rollouts.open(check_folders(config, data))


def _agree(config: PackageConfig, manifest: Manifest, folder: Path) -> None:
    for name in ("real", "observation_shape", "observation_dtype", "action"):
        expected, found = getattr(config, name), getattr(manifest, name)
        if expected != found:
            raise DataError(
                f"{folder}: {name}: expected {expected} as in the package, found {found}. Name "
                "folders that dreamenv collect recorded of the same real env, shown alike."
            )
