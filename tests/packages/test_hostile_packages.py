"""Strangers' packages, each wrong in one way, kept as named cases: refused, with the reason."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.numpy
import torch

from dreamenv.errors import PackageError
from dreamenv.package_files import MAX_BYTES, MAX_PACKAGE_BYTES
from dreamenv.packages import load_config, load_package, verify_package

Spoil = Callable[[Path], object]


def config(**changes: object) -> Spoil:
    """Change fields of config.json; ``sizes__hidden=3`` is the field ``hidden`` of ``sizes``."""

    def spoil(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_bytes())
        for path, value in changes.items():
            at = values
            *parents, last = path.split("__")
            for parent in parents:
                at = at[parent]
            at[last] = value
        (folder / "config.json").write_text(json.dumps(values))

    return spoil


def content(name: str, value: bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(value)


def cut(name: str, size: int) -> Spoil:
    """Cut a file to ``size`` bytes, or by so many if negative; or make it larger, with zeros."""
    return lambda folder: os.truncate(
        folder / name, size if size >= 0 else (folder / name).stat().st_size + size
    )


def header(name: str, change: Callable[[dict], object]) -> Spoil:
    """Rewrite a safetensors file's header, leaving its data."""

    def spoil(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        parsed = json.loads(data[8 : 8 + length])
        changed = change(parsed)
        text = changed if isinstance(changed, bytes) else json.dumps(parsed).encode()
        (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])

    return spoil


def tensors(name: str, change: Callable[[dict], object]) -> Spoil:
    """Rewrite a safetensors file's tensors, as numpy arrays."""

    def spoil(folder: Path) -> None:
        arrays = safetensors.numpy.load_file(folder / name)
        arrays = {key: array.copy() for key, array in arrays.items()}
        change(arrays)
        safetensors.numpy.save_file(arrays, folder / name)

    return spoil


def link_out(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        shutil.move(folder / name, folder.parent / f"outside-{name}")
        (folder / name).symlink_to(f"../outside-{name}")

    return spoil


def replaced_by(name: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def torch_zip(folder: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, folder / "model.safetensors")


class Bomb:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch UNPICKLED",)


MODEL, STARTS = "model.safetensors", "start_states.safetensors"
W = "mixture.weight"

CASES: dict[str, tuple[Spoil, str]] = {
    # Files: missing, cut, grown, or no files at all.
    **{
        f"missing {name}": (replaced_by(name, lambda _: None), rf"{name}: file: .*found nothing")
        for name in MAX_BYTES
    },
    "empty config": (cut("config.json", 0), r"config.json: file: "),
    "empty weights": (cut(MODEL, 0), rf"{MODEL}: header length: .*a file of 0"),
    "weights cut in the header": (cut(MODEL, 100), rf"{MODEL}: header length"),
    "weights cut by a byte": (cut(MODEL, -1), rf"{MODEL}: size: expected \d+ bytes of data"),
    "starts cut by a byte": (cut(STARTS, -1), rf"{STARTS}: size"),
    "weights with a tail": (cut(MODEL, 10**6), rf"{MODEL}: size"),
    "config too large": (
        lambda folder: (folder / "config.json").write_bytes(b" " * (2**20 + 1)),
        r"config.json: size: expected at most 1048576 bytes, found 1048577",
    ),
    "card too large": (cut("README.md", 2**20 + 1), r"README.md: size"),
    "weights too large": (cut(MODEL, MAX_PACKAGE_BYTES + 1), rf"{MODEL}: size"),
    "too large in all": (
        lambda folder: [os.truncate(folder / n, 1100 * 2**20) for n in (MODEL, STARTS)],
        r"size: expected at most 2147483648 bytes in all",
    ),
    "link out of the folder": (link_out(MODEL), rf"{MODEL}: file: .*found a link"),
    "config a link out of the folder": (link_out("config.json"), r"config.json: file: .*a link"),
    "link to a device": (
        replaced_by("config.json", lambda path: path.symlink_to("/dev/zero")),
        r"config.json: file: .*found a link",
    ),
    "a pipe that nobody writes to": (
        replaced_by(MODEL, os.mkfifo),
        rf"{MODEL}: file: expected a plain file, found something else",
    ),
    "a folder for a file": (replaced_by(STARTS, os.mkdir), rf"{STARTS}: file: expected a plain"),
    # Code instead of data.
    "pickle for weights": (
        content(MODEL, pickle.dumps(Bomb())),
        rf"{MODEL}: file: .*a pickle.*never read",
    ),
    "pickle for starts": (content(STARTS, pickle.dumps(Bomb(), 2)), r"a pickle"),
    "old pickle for weights": (content(MODEL, pickle.dumps(Bomb(), 0)), rf"{MODEL}: header"),
    "torch checkpoint for weights": (torch_zip, r"a pickle or a torch checkpoint"),
    "pickle for config": (content("config.json", pickle.dumps(Bomb())), r"config.json: file"),
    # Headers that lie.
    "absurd header length": (
        lambda folder: (folder / MODEL).write_bytes(
            struct.pack("<Q", 2**63) + (folder / MODEL).read_bytes()[8:]
        ),
        rf"{MODEL}: header length: expected at most \d+ bytes, found 9223372036854775808",
    ),
    "header of garbage": (header(MODEL, lambda _: b"\xff\xfe garbage"), rf"{MODEL}: header"),
    "header nested deep": (header(MODEL, lambda _: b"[" * 500_000), rf"{MODEL}: header"),
    "header a list": (header(MODEL, lambda _: b"[1, 2]"), rf"{MODEL}: header: expected a JSON obj"),
    "name twice": (
        header(STARTS, lambda h: b'{"z": {}, "z": {}}'),
        r"header: .*a name that appears twice",
    ),
    "no entry": (header(MODEL, lambda h: h.update({W: 3})), rf"{W}: expected dtype, shape"),
    "negative shape": (header(MODEL, lambda h: h[W].update(shape=[-48, -8])), rf"{W}: expected"),
    "true in a shape": (header(MODEL, lambda h: h[W].update(shape=[True, 8])), rf"{W}: expected"),
    "absurd shape": (
        header(MODEL, lambda h: h[W].update(shape=[2**60, 2**60])),
        rf"{MODEL}: {W}: shape: expected \[24, 8\], found \[1152921504606846976,",
    ),
    "shape of another order": (
        header(MODEL, lambda h: h[W].update(shape=[8, 24])),
        rf"{W}: shape: expected \[24, 8\], found \[8, 24\]",
    ),
    "unknown dtype": (header(MODEL, lambda h: h[W].update(dtype="BF16")), rf"{W}: dtype"),
    "integers for weights": (header(MODEL, lambda h: h[W].update(dtype="I32")), rf"{W}: dtype"),
    "missing tensor": (header(MODEL, lambda h: h.pop(W)), rf"names: .*missing \['{W}'\]"),
    "unknown tensor": (
        header(MODEL, lambda h: h.update(extra=h[W])),
        r"names: .*unknown \['extra'\]",
    ),
    "overlapping tensors": (
        header(MODEL, lambda h: h["lstm.weight_hh_l0"].update(data_offsets=[0, 4 * 32 * 8])),
        r"data_offsets: expected \[\d+, \d+\], found",
    ),
    "offsets past the end": (
        header(MODEL, lambda h: h[W].update(data_offsets=[2**62, 2**62 + 768])),
        r"data_offsets: expected",
    ),
    "control characters": (
        header(MODEL, lambda h: h.update({"\x1b[2J": h[W]})),
        r"unknown \['\\x1b\[2J'\]",
    ),
    # Values.
    "NaN weight": (
        tensors(MODEL, lambda a: a[W].__setitem__((0, 0), float("nan"))),
        rf"{MODEL}: {W}: expected finite values, found 1 NaN or infinite",
    ),
    "infinite start": (
        tensors(STARTS, lambda a: a["c"].__setitem__((1, 2), float("inf"))),
        rf"{STARTS}: c: expected finite values, found 1 NaN or infinite",
    ),
    # The bank of starts.
    "no starts": (
        tensors(STARTS, lambda a: a.update({name: array[:0] for name, array in a.items()})),
        rf"{STARTS}: first: shape: expected \[M\], one start state or more, found \[0\]",
    ),
    "no first start": (
        tensors(STARTS, lambda a: a["first"].fill(0)),
        r"first: expected 0 and 1, at least one 1, found \[0\]",
    ),
    "first that is neither": (tensors(STARTS, lambda a: a["first"].fill(7)), r"found \[7\]"),
    "starts without first": (
        tensors(STARTS, lambda a: a.pop("first")),
        r"names: .*missing \['first'\]",
    ),
    "starts of different number": (
        tensors(STARTS, lambda a: a.update(z=a["z"][:-1])),
        r"z: shape: expected \[6, 4\], found \[5, 4\]",
    ),
    "starts of another model": (
        tensors(STARTS, lambda a: a.update(h=a["h"][:, :5].copy())),
        r"h: shape: expected \[6, 8\], found \[6, 5\]",
    ),
    "starts in float32": (
        tensors(STARTS, lambda a: a.update(z=a["z"].astype("f4"))),
        r"z: dtype: expected F16, found F32",
    ),
    # config.json.
    "no JSON": (content("config.json", b"name: tiny"), r"config.json: file: .*Invalid JSON"),
    "config nested deep": (content("config.json", b"[" * 10**6), r"config.json: file"),
    "not UTF-8": (content("config.json", b'{"name": "\xff"}'), r"config.json: file"),
    "NaN in config": (config(latent_bound=float("nan")), r"config.json: latent_bound"),
    "unknown field": (config(setup="evil.py"), r"config.json: setup: .*Extra inputs"),
    "newer format": (config(format_version=2), r"config.json: format_version: .*found .*2"),
    "unknown family": (config(family="os.system"), r"config.json: family"),
    "name that climbs": (config(name="../../etc"), r"config.json: name"),
    "name of a drive": (config(name="C:\\dreams"), r"config.json: name"),
    "env id with a module": (config(real__env_id="os:system"), r"config.json: real.env_id"),
    "a program in the env's keywords": (
        config(real__kwargs={"vizdoom_path": "/tmp/evil"}),
        r"config.json: real.kwargs.vizdoom_path",
    ),
    "gym.make's own keyword": (
        config(real__kwargs={"max_episode_steps": 3}),
        r"real.kwargs: .*own",
    ),
    "a keyword that is none": (config(real__kwargs={"x; y": 3}), r"config.json: real.kwargs"),
    "a file to write in the learner's settings": (
        config(learn__hyperparameters={"tensorboard_log": "/tmp/evil"}),
        r"config.json: learn.hyperparameters.tensorboard_log: .*Extra inputs",
    ),
    "a rollout beyond memory": (
        config(learn__hyperparameters={"n_steps": 10**12}),
        r"config.json: learn.hyperparameters.n_steps",
    ),
    "a rollout beyond memory by lanes": (
        config(learn__hyperparameters={"n_steps": 10**6}, learn__num_envs=65_536),
        r"config.json: learn: .*at most 16,777,216",
    ),
    "another model in the learner's dream": (
        config(learn__dream={"model": "other"}),
        r"config.json: learn.dream.model: .*Extra inputs",
    ),
    "a learner that is text": (
        config(learn__hyperparameters={"n_epochs": "many"}),
        r"config.json: learn.hyperparameters.n_epochs",
    ),
    "unknown preprocessing": (
        config(real__preprocessing=[{"name": "exec", "code": "1"}]),
        r"config.json: real.preprocessing.0",
    ),
    "absurd hidden size": (config(sizes__hidden=10**12), r"config.json: sizes: .*hidden"),
    "absurd frame": (config(sizes__height=2**40), r"config.json: sizes: .*height"),
    "absurd digits": (config(sizes__hidden=10**4000), r"config.json: sizes"),
    "absurd observation": (
        config(observation_shape=[65536, 65536, 65536]),
        r"config.json: .*at most 1,048,576 values",
    ),
    "negative size": (config(sizes__latent=-4), r"config.json: sizes: .*latent"),
    "fraction for a size": (config(sizes__latent=4.5), r"config.json: sizes: .*latent"),
    "list for a size": (config(sizes__hidden=[8.0]), r"config.json: sizes"),
    "unknown size": (config(sizes__layers=2), r"config.json: sizes: .*unknown \['layers'\]"),
    "sizes at odds with features": (config(features=13), r"config.json: sizes: .*features"),
    "sizes at odds with actions": (config(action={"type": "box", "size": 2}), r"sizes: .*action"),
    "the largest sizes with a small file": (
        config(
            sizes__height=512,
            sizes__width=512,
            sizes__vae_base=256,
            sizes__latent=1024,
            sizes__hidden=4096,
            sizes__mixtures=64,
            observation_shape=[512, 512, 3],
            latent=1024,
            features=5120,
        ),
        rf"{MODEL}: .*shape: expected",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(tiny_package, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "stranger"
    shutil.copytree(tiny_package, folder)
    spoil, said = CASES[case]
    spoil(folder)
    for read in (load_package, verify_package):
        with pytest.raises(PackageError, match=said) as refused:
            read(folder)
        message = str(refused.value)
        assert "expected" in message
        assert "found" in message
        assert message.isprintable()
        assert message.endswith((".", "do not use it"))  # the fix
        assert len(message) < 1500
    assert not (tmp_path / "UNPICKLED").exists()
    if said.startswith("config.json") and "sizes" not in said:
        with pytest.raises(PackageError, match=said):
            load_config(folder)


def test_what_else_is_in_the_folder_is_never_looked_at(tiny_package, tmp_path, monkeypatch):
    folder = tmp_path / "stranger"
    shutil.copytree(tiny_package, folder)
    monkeypatch.chdir(folder)
    for name in ("__init__.py", "mdnrnn.py", "sitecustomize.py", "conftest.py", "dreamenv.py"):
        (folder / name).write_text("raise SystemExit('run')")
    (folder / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    (folder / "config.yaml").write_text("!!python/object/apply:os.system ['touch UNPICKLED']")
    seen: list[str] = []
    real_open = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *args, **kw: seen.append(str(path)) or real_open(path, *args, **kw)
    )
    package = load_package(folder)
    assert {Path(path).name for path in seen if path.startswith(str(folder))} == set(MAX_BYTES)
    assert package.identity == load_package(tiny_package).identity
    assert not (folder / "UNPICKLED").exists()


@pytest.mark.parametrize("source", ["nowhere", "./no/where", "/no/where"])
def test_a_folder_that_is_not_there(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PackageError, match=r"expected a.*found nothing.*Check the path"):
        load_package(source)
    with pytest.raises(PackageError, match=r"folder: expected a folder with .*found nothing"):
        verify_package(source)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "p").write_text("a file")
    with pytest.raises(PackageError, match=r"folder: expected a folder with .*found a file"):
        load_package(tmp_path / "p")
