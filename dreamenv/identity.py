"""What makes two packages the same model. No torch in here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv.config import PackageConfig

Arrays = Mapping[str, NDArray[Any]]


def identity(config: PackageConfig, weights: Arrays, starts: Arrays) -> str:
    """SHA-256, in hex, of config, weights (float32) and starts: equal for equal dreams, wherever
    they are stored and whatever is told of how they were made or how to learn in them."""
    told = config.model_dump_json(exclude={"provenance", "learn"})
    digest = hashlib.sha256(told.encode())
    for kind, arrays in (("weights", weights), ("starts", starts)):
        for name, array in sorted(arrays.items()):
            digest.update(f"\n{kind} {name} torch.{array.dtype} {list(array.shape)}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def identity_at(folder: Path) -> str:
    """The identity of the package in a folder that is to be trusted: a shipped one.

    Raises:
        PackageError: not found, or a file is missing or too large.
    """
    from safetensors.numpy import load

    from dreamenv.package_files import open_files
    from dreamenv.packages import load_config

    names = ["model.safetensors", "start_states.safetensors"]
    config = load_config(folder)
    with open_files(folder, names) as files:
        weights, starts = (load(files[name].read()) for name in names)
    return identity(config, {name: w.astype(np.float32) for name, w in weights.items()}, starts)
