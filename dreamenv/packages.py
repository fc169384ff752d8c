"""Dream packages: load, save, verify.

A package is a folder of four files, and loading one from a stranger is safe: it is data, checked
against its own config before it is used, and nothing in it is ever run or unpickled.

======================== =========================================================================
``config.json``          :class:`dreamenv.config.PackageConfig`
``model.safetensors``    the weights, float32 or float16
``start_states.safetensors`` the bank of start states: the family's tensors ``[M, …]``, float16, and
                         ``first``, uint8 ``[M]``: 1 where the state began a real episode
``README.md``            the card
======================== =========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from dreamenv.config import PackageConfig
from dreamenv.errors import PackageError
from dreamenv.identity import identity
from dreamenv.package_files import MAX_BYTES, open_files, replace_folder
from dreamenv.sources import resolve

if TYPE_CHECKING:  # torch is slow to import and wants no fork: only loading a model brings it in.
    from torch import Tensor

    from dreamenv.models.world_model import WorldModel
    from dreamenv.package_tensors import Entry, Wanted


@dataclass(frozen=True, eq=False)
class Package:
    """A trained world model with everything that makes a dream of it."""

    config: PackageConfig
    weights: dict[str, Tensor]
    """float32, by the names of the family's ``state_dict``."""
    starts: dict[str, Tensor]
    """The bank of start states, ``[M, …]`` by name."""
    path: Path | None = None
    """Folder it was loaded from."""

    @cached_property
    def identity(self) -> str:
        """See :func:`dreamenv.identity.identity`."""
        weights, starts = (
            {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
            for tensors in (self.weights, self.starts)
        )
        return identity(self.config, weights, starts)

    def world_model(self, device: str = "cpu") -> WorldModel:
        """The family's model with a copy of these weights, in evaluation mode, on ``device``."""
        import torch

        from dreamenv.models.families import build

        # Built without memory or random numbers: loading a package leaves torch's seed alone.
        with torch.device("meta"):
            model = build(self.config)
        weights = {name: tensor.detach().clone() for name, tensor in self.weights.items()}
        model.load_state_dict(weights, assign=True)
        return model.eval().requires_grad_(False).to(device)


def load_config(source: str | Path) -> PackageConfig:
    """The config of a package, without torch.

    Args:
        source: a folder, a shipped id (``"Dream-CarRacing-v0"``), or a hub id (``"org/name"``).

    Raises:
        PackageError: not found, or its ``config.json`` is not one of ours.
        ImportError: a hub id without the extra ``hub``.
    """
    path = resolve(source)
    with open_files(path, ["config.json"]) as files:
        return read_config(files["config.json"], path)


def load_package(source: str | Path) -> Package:
    """A package, checked in full: see :func:`load_config` for ``source``.

    Raises:
        PackageError: not found, or a file is missing, damaged, too large, or at odds with the
            config. Memory use is bounded by the files' true sizes, whatever they claim.
        ImportError: a hub id without the extra ``hub``.
    """
    return _load(resolve(source))


def verify_package(path: str | Path) -> None:
    """Check a folder as :func:`load_package` does.

    Raises:
        PackageError: naming file, field, what was expected and found, and the fix.
    """
    _load(Path(path))


def save_package(
    package: Package,
    path: str | Path,
    card: str,
    *,
    weight_dtype: Literal["float32", "float16"] = "float32",
) -> Path:
    """Write a package as a folder, replacing a package that is there.

    A process killed at any point leaves the previous package, or the new one, whole.

    Args:
        card: text of ``README.md``.
        weight_dtype: ``"float16"`` halves the file; vectors (biases, bins) stay float32.

    Returns:
        The folder.

    Raises:
        PackageError: the package would not load, or ``path`` holds something that is no package.
            Nothing has changed then.
    """
    from dreamenv.package_tensors import to_bytes

    path = Path(path)
    try:
        config = package.config.model_dump_json(indent=2)
    except PydanticSerializationError as error:
        raise PackageError.at(
            path / "config.json",
            "provenance",
            expected="JSON values",
            found=str(error),
            fix="Use strings, numbers, lists and dicts.",
        ) from error
    weights = {
        name: tensor.half() if weight_dtype == "float16" and tensor.ndim > 1 else tensor
        for name, tensor in package.weights.items()
    }
    contents = {
        "config.json": config.encode() + b"\n",
        "model.safetensors": to_bytes(weights),
        "start_states.safetensors": to_bytes(package.starts),
        "README.md": card.encode(),
    }
    replace_folder(path, contents, check=lambda folder: _load(folder, named=path))
    return path


def _load(folder: Path, named: Path | None = None) -> Package:
    """The package in a folder; errors speak of ``named`` instead, if given."""
    from dreamenv.package_tensors import read_tensors

    path = named or folder
    with open_files(folder, list(MAX_BYTES)) as files:
        config = read_config(files["config.json"], path)
        wanted = _wanted_weights(config, path)
        weights = read_tensors(
            files["model.safetensors"], path / "model.safetensors", lambda _: wanted
        )
        _refuse_beyond_bounds(config, weights, path / "model.safetensors")
        starts_file = path / "start_states.safetensors"
        starts = read_tensors(
            files["start_states.safetensors"],
            starts_file,
            lambda header: _wanted_starts(config, header, starts_file),
        )
    if not set(starts["first"].tolist()) <= {0, 1} or not bool(starts["first"].any()):
        raise PackageError.at(
            starts_file,
            "first",
            expected="0 and 1, at least one 1",
            found=str(sorted(set(starts["first"].tolist()))[:10]),
            fix="Train again on data that holds beginnings of episodes.",
        )
    return Package(config, {name: w.float() for name, w in weights.items()}, starts, path)


def read_config(handle: BinaryIO, path: Path) -> PackageConfig:
    """A config, which may be a stranger's; errors speak of a package at ``path``.

    Raises:
        PackageError: it is not one of ours.
    """
    try:
        return PackageConfig.model_validate_json(handle.read(MAX_BYTES["config.json"]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PackageError.at(
            path / "config.json",
            ".".join(str(part) for part in first["loc"]) or "file",
            expected="a package's config",
            found=f"{first['msg']}: {first['input']!r}",
            fix="Correct the file, or copy or train the package again.",
        ) from error


def _wanted_weights(config: PackageConfig, path: Path) -> dict[str, Wanted]:
    """What the family needs, learnt without allocating: sizes in a config may be absurd."""
    import torch

    from dreamenv.models.families import build
    from dreamenv.package_tensors import Wanted

    try:
        with torch.device("meta"):
            state = build(config).state_dict()
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise PackageError.at(
            path / "config.json",
            "sizes",
            expected="sizes that the family knows, as the rest of the config says",
            found=str(error),
            fix="Correct the file, or copy or train the package again.",
        ) from error
    return {name: Wanted(("F32", "F16"), tuple(tensor.shape)) for name, tensor in state.items()}


def _refuse_beyond_bounds(config: PackageConfig, weights: Mapping[str, Tensor], file: Path) -> None:
    from dreamenv.models.families import weight_bounds

    for name, (least, most) in weight_bounds(config).items():
        low, high = float(weights[name].min()), float(weights[name].max())
        if low < least or high > most:
            raise PackageError.at(
                file,
                name,
                expected=f"{least:g} to {most:g}",
                found=f"{low:g} to {high:g}",
                fix="Train the package again.",
            )


def _wanted_starts(
    config: PackageConfig, header: Mapping[str, Entry], file: Path
) -> dict[str, Wanted]:
    from dreamenv.models.families import start_shapes
    from dreamenv.package_tensors import Wanted

    shape = header["first"].shape if "first" in header else (1,)
    if len(shape) != 1 or shape[0] == 0:
        raise PackageError.at(
            file,
            "first: shape",
            expected="[M], one start state or more",
            found=str(list(shape)),
            fix="Train the package again.",
        )
    states = {name: Wanted(("F16",), shape + one) for name, one in start_shapes(config).items()}
    return {"first": Wanted(("U8",), shape), **states}
