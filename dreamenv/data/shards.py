"""One shard: a few whole episodes in a folder of plain ``.npy`` files."""

from __future__ import annotations

import io
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamenv.config import VECTOR_BOUND, BoxAction
from dreamenv.data.manifest import Manifest
from dreamenv.errors import DataError


@dataclass(frozen=True)
class Episode:
    """One episode of the real env, as model and policy are shown it. ``T`` is its decisions."""

    frames: NDArray[Any]
    """``[T + 1, *observation]``: the first observation and all that followed, the last included;
    uint8 frames, or float32 vectors in the real env's units, within ±``VECTOR_BOUND``. Read from a
    folder it is a memory map: slice it, and only the slice is loaded."""
    actions: NDArray[Any]
    """float32 ``[T, A]`` in [-1, 1], or int64 ``[T]``; ``actions[t]`` was taken on seeing
    ``frames[t]`` and led to ``frames[t + 1]``."""
    rewards: NDArray[np.float32]
    """``[T]``, each the sum over its decision's frames."""
    terminated: bool
    """The env said that the episode is over."""
    truncated: bool
    """A limit of the env, or of the collection, cut it."""
    seed: int
    """The real env was reset with it."""
    policy: str
    """Who acted."""
    real_steps: int
    """Frames of the real env behind it."""

    def __len__(self) -> int:
        return len(self.rewards)


FRAMES, ACTIONS, REWARDS = "frames.npy", "actions.npy", "rewards.npy"
PER_EPISODE = {
    "lengths": np.int64,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "seeds": np.int64,
    "real_steps": np.int64,
}


def shard_folder(folder: Path, index: int) -> Path:
    """Where shard ``index`` lies."""
    return folder / f"shard-{index:05d}"


def write_shard(folder: Path, index: int, episodes: Sequence[Episode]) -> Path:
    """Write whole episodes as shard ``index``: all of it, or nothing under its name.

    A shard that is there already is left as it is.
    """
    target = shard_folder(folder, index)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=folder))
    per_episode: dict[str, list[Any]] = {
        "lengths": [len(e) for e in episodes],
        "terminated": [e.terminated for e in episodes],
        "truncated": [e.truncated for e in episodes],
        "seeds": [e.seed for e in episodes],
        "real_steps": [e.real_steps for e in episodes],
    }
    try:
        _save(partial / FRAMES, np.concatenate([e.frames for e in episodes]))
        _save(partial / ACTIONS, np.concatenate([e.actions for e in episodes]))
        _save(partial / REWARDS, np.concatenate([e.rewards for e in episodes]))
        for name, dtype in PER_EPISODE.items():
            _save(partial / f"{name}.npy", np.asarray(per_episode[name], dtype))
        partial.chmod(0o755)
        if not target.exists():
            partial.rename(target)
            _sync(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed collection had begun to write."""
    for partial in folder.glob(".shard-*"):
        shutil.rmtree(partial)


def read_shard(folder: Path, index: int, manifest: Manifest) -> list[Episode]:
    """The episodes of a finished shard; frames are mapped, not loaded.

    Raises:
        DataError: a file is missing, truncated, of another dtype or shape, or holds values that
            no collection writes.
    """
    path, count = shard_folder(folder, index), manifest.shard_size(index)
    columns = {n: _load(path / f"{n}.npy", t, (count,)) for n, t in PER_EPISODE.items()}
    lengths = columns["lengths"]
    _require(bool((lengths >= 1).all()), path / "lengths.npy", "each ≥ 1", lengths.tolist())
    real = columns["real_steps"]
    _require(bool((real >= lengths).all()), path / "real_steps.npy", "≥ lengths", real.tolist())
    steps = int(lengths.sum())
    shape = (steps + count, *manifest.observation_shape)
    frames = _load(path / FRAMES, manifest.observation_dtype, shape, mapped=True)
    if manifest.observation_dtype == "float32":
        # Both are NaN where any value is, and no copy is made.
        bounded = bool(frames.min() >= -VECTOR_BOUND and frames.max() <= VECTOR_BOUND)
        _require(bounded, path / FRAMES, f"values within ±{VECTOR_BOUND:g}", "NaN or larger ones")
    if isinstance(manifest.action, BoxAction):
        actions = _load(path / ACTIONS, np.float32, (steps, manifest.action.size))
        valid, expected = (np.abs(actions) <= 1.0).all(), "values in [-1, 1]"
    else:
        actions = _load(path / ACTIONS, np.int64, (steps,))
        valid = ((actions >= 0) & (actions < manifest.action.n)).all()
        expected = f"values 0 to {manifest.action.n - 1}"
    _require(bool(valid), path / ACTIONS, expected, "others")
    rewards = _load(path / REWARDS, np.float32, (steps,))
    _require(bool(np.isfinite(rewards).all()), path / REWARDS, "finite values", "NaN or infinity")
    ends = np.cumsum(lengths)
    episodes = []
    for i, (start, end) in enumerate(zip(ends - lengths, ends, strict=True)):
        episodes.append(
            Episode(
                # Each earlier episode has one frame more than decisions.
                frames=frames[start + i : end + i + 1],
                actions=actions[start:end],
                rewards=rewards[start:end],
                terminated=bool(columns["terminated"][i]),
                truncated=bool(columns["truncated"][i]),
                seed=int(columns["seeds"][i]),
                policy=manifest.policy,
                real_steps=int(columns["real_steps"][i]),
            )
        )
    return episodes


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a rename in ``folder`` outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path, dtype: Any, shape: tuple[int, ...], mapped: bool = False) -> NDArray[Any]:
    """A ``.npy`` file of exactly this dtype and shape.

    What the header must be is known to the byte, so it is compared and never parsed; and the file's
    size is compared before anything of the array's size is allocated.
    """
    dtype = np.dtype(dtype)
    header = _header(dtype, shape)
    size = len(header) + dtype.itemsize * math.prod(shape)
    try:
        with path.open("rb") as file:
            found, found_size = file.read(len(header)), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DataError(
            f"{path}: expected the file of a shard, found none ({error}); delete the shard's "
            "folder and collect again"
        ) from error
    what = f"an .npy file of {dtype} {shape}"
    _require(found == header, path, f"{what}, header {header!r}", repr(found))
    _require(found_size == size, path, f"{what}, {size} bytes", f"{found_size} bytes")
    array = np.memmap(path, dtype, "r", len(header), shape)
    return array if mapped else np.array(array)


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The bytes with which ``np.save`` begins such a file (format version 1.0)."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        },
    )
    return header.getvalue()


def _require(condition: bool, path: Path, expected: str, found: object) -> None:
    if not condition:
        raise DataError(f"{path}: expected {expected}, found {found}")
