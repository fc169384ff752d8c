"""Under which names models are served."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dreamenv.packages import load_config
from dreamenv.sources import is_hub_id, resolve, shipped

NAMED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.@/-]{0,199})=(?P<source>.+)", re.DOTALL)


def served_names(models: Sequence[str]) -> dict[str, Path]:
    """The folder of each model, by the name that clients ask for.

    Args:
        models: shipped ids and hub ids, served under those names; folders, under the name in
            their config; ``NAME=`` before any of them for another. All shipped ones if empty.

    Raises:
        ValueError: two have the same name.
        PackageError: nothing has that name, or it is no package.
    """
    found: dict[str, Path] = {}
    for model in models or shipped():
        match = None if Path(model).exists() else NAMED.fullmatch(model)
        source = model if match is None else match["source"]
        folder = resolve(source)
        config = load_config(folder)  # refuses what is no package, before any is loaded
        if match is not None:
            name = match["name"]
        elif source in shipped() or (is_hub_id(source) and folder != Path(source)):
            name = source
        else:
            name = config.name
        if name in found:
            raise ValueError(
                f"model: expected each name once, got {name!r} twice; name one of them otherwise: "
                f"--model OTHER={source}"
            )
        found[name] = folder
    return found
