"""A stranger's ``.safetensors`` file: its header is checked against what is wanted before its data
is read.

Layout of the format (https://huggingface.co/docs/safetensors): 8 bytes little-endian header length,
a JSON header ``{name: {"dtype", "shape", "data_offsets"}}``, then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from dreamenv.errors import PackageError

MAX_HEADER_BYTES = 1024**2
ITEM_BYTES = {"F16": 2, "F32": 4, "U8": 1}
DTYPES = {"F16": torch.float16, "F32": torch.float32, "U8": torch.uint8}
COPY_AGAIN = "Copy or train the package again."


@dataclass(frozen=True)
class Entry:
    """What a header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Wanted:
    """What one tensor must be."""

    dtypes: tuple[str, ...]
    """Names as in the format: ``"F16"``, ``"F32"``, ``"U8"``."""
    shape: tuple[int, ...]


def read_tensors(
    handle: BinaryIO,
    file: Path,
    wanted: Callable[[Mapping[str, Entry]], Mapping[str, Wanted]],
) -> dict[str, Tensor]:
    """The tensors of an open file, if they are exactly the wanted ones and finite.

    Args:
        file: named in errors.
        wanted: given the header, what must be in the file.

    Raises:
        PackageError: not a safetensors file, damaged, or not the wanted tensors. At most
            ``MAX_HEADER_BYTES`` have been read unless only the values are at fault.
    """
    size = os.fstat(handle.fileno()).st_size
    header, start = _header(handle, file, size)
    _compare(header, wanted(header), file)
    _check_layout(header, file, size - start)
    handle.seek(0)
    try:
        tensors = safetensors.torch.load(handle.read(size))
    except SafetensorError as error:
        _refuse(file, "file", "a safetensors file", str(error))
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            _refuse(file, name, "finite values", f"{bad} NaN or infinite")
    return tensors


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """A safetensors file of copies of these tensors."""
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return safetensors.torch.save(plain)


def _header(handle: BinaryIO, file: Path, size: int) -> tuple[dict[str, Entry], int]:
    prefix = handle.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(size - 8, MAX_HEADER_BYTES):
        # Told by its beginning only where that is no header's length: 128 begins like a pickle.
        if prefix[:1] == b"\x80" or prefix[:2] == b"PK":
            _refuse(
                file,
                "file",
                "a safetensors file",
                "a pickle or a torch checkpoint",
                "Pickles are never read: export the weights with safetensors.",
            )
        most = max(0, min(size - 8, MAX_HEADER_BYTES))
        found = f"{length} in a file of {size}" if len(prefix) == 8 else f"a file of {size}"
        _refuse(file, "header length", f"at most {most} bytes", found)
    text = handle.read(length)
    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        _refuse(file, "header", "JSON", str(error))
    if not isinstance(parsed, dict):
        _refuse(file, "header", "a JSON object", text[:80].decode("utf-8", "replace"))
    parsed.pop("__metadata__", None)
    return {name: _entry(file, name, value) for name, value in parsed.items()}, 8 + length


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name that appears twice")
    return found


def _entry(file: Path, name: str, value: Any) -> Entry:
    match value:
        case {"dtype": str(dtype), "shape": shape, "data_offsets": [begin, end]} if (
            len(value) == 3 and _whole(shape) and _whole([begin, end])
        ):
            return Entry(dtype, tuple(shape), begin, end)
    _refuse(file, name, "dtype, shape and two data_offsets", repr(value))


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _compare(header: Mapping[str, Entry], wanted: Mapping[str, Wanted], file: Path) -> None:
    if set(header) != set(wanted):
        missing, more = sorted(set(wanted) - set(header)), sorted(set(header) - set(wanted))
        _refuse(
            file,
            "names",
            "the tensors that the family and sizes of config.json need",
            f"missing {missing[:5]}, unknown {more[:5]}",
        )
    for name, need in wanted.items():
        entry = header[name]
        if entry.dtype not in need.dtypes:
            _refuse(file, f"{name}: dtype", " or ".join(need.dtypes), entry.dtype)
        if entry.shape != need.shape:
            _refuse(file, f"{name}: shape", str(list(need.shape)), str(list(entry.shape)))


def _check_layout(header: Mapping[str, Entry], file: Path, size: int) -> None:
    position = 0
    for name, entry in sorted(header.items(), key=lambda item: (item[1].begin, item[1].end)):
        end = position + ITEM_BYTES[entry.dtype] * math.prod(entry.shape)
        if (entry.begin, entry.end) != (position, end):
            found = str([entry.begin, entry.end])
            _refuse(file, f"{name}: data_offsets", str([position, end]), found)
        position = end
    if position != size:
        _refuse(file, "size", f"{position} bytes of data", f"{size}")


def _refuse(file: Path, field: str, expected: str, found: str, fix: str = COPY_AGAIN) -> NoReturn:
    raise PackageError.at(file, field, expected=expected, found=found, fix=fix)
