"""Run by test_bounded_memory.py: loads absurd packages with little memory to spare.

Usage: ``python absurd_sizes.py PACKAGE FOLDER BYTES``; prints one JSON object, case → error.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import sys
from pathlib import Path

from dreamenv.errors import PackageError
from dreamenv.packages import load_package

LARGE = 2000 * 2**20


def sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    config["sizes"] |= dict(height=512, width=512, vae_base=256, latent=1024, hidden=4096)
    config |= dict(observation_shape=[512, 512, 3], latent=1024, features=5120)
    (folder / "config.json").write_text(json.dumps(config))


def ensemble(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    widest = dict.fromkeys(("observation", "action", "hidden", "outcome"), 4096)
    config |= dict(family="ensemble", sizes=widest | dict(members=64, elites=64, layers=16))
    config |= dict(observation_shape=[4096], observation_dtype="float32", latent_bound=20.0)
    config |= dict(action=dict(type="discrete", n=4096), latent=4096, features=4096)
    config["sizes"]["discrete"] = 1
    (folder / "config.json").write_text(json.dumps(config))


def header(folder: Path) -> None:
    model = folder / "model.safetensors"
    model.write_bytes(struct.pack("<Q", 2**40) + model.read_bytes()[8:])
    os.truncate(model, LARGE)


def shape(folder: Path) -> None:
    model = folder / "model.safetensors"
    (length,) = struct.unpack("<Q", model.read_bytes()[:8])
    entries = json.loads(model.read_bytes()[8 : 8 + length])
    entries["mixture.weight"] |= dict(shape=[2**28, 2], data_offsets=[0, LARGE])
    text = json.dumps(entries).encode()
    model.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(model, LARGE)


def tail(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", LARGE)


def config(folder: Path) -> None:
    os.truncate(folder / "config.json", 2**40)


def main() -> None:
    package, folder, spare = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    load_package(package)  # What is imported and mapped by now is not the cases' own.
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + spare
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    said = {}
    try:
        bytearray(2 * spare)
    except MemoryError:
        said["limit"] = "in force"
    for spoil in (sizes, ensemble, header, shape, tail, config):
        stranger = folder / spoil.__name__
        shutil.copytree(package, stranger)
        spoil(stranger)
        try:
            load_package(stranger)
        except PackageError as error:
            said[spoil.__name__] = str(error)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
