"""Absurd sizes are refused within bounded memory, wherever they are claimed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, resource, struct, sys
from pathlib import Path
from dreamenv.packages import load_package
from dreamenv.errors import PackageError

folder, case = Path(sys.argv[1]), sys.argv[2]
load_package(folder)  # Imports and thread pools are there now: what follows is the case's own.
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * os.sysconf("SC_PAGE_SIZE") + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (most, most))

config = json.loads((folder / "config.json").read_bytes())
model = folder / "model.safetensors"
if case == "none":
    bytearray(int(sys.argv[3]))
elif case == "sizes":
    config["sizes"] |= dict(height=512, width=512, vae_base=256, latent=1024, hidden=4096)
    config |= dict(observation_shape=[512, 512, 3], latent=1024, features=5120)
    (folder / "config.json").write_text(json.dumps(config))
elif case == "header":
    data = model.read_bytes()
    model.write_bytes(struct.pack("<Q", 2**40) + data[8:])
    os.truncate(model, 2**31)
elif case == "shape":
    data = model.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["mixture.weight"]["shape"] = [2**28, 2]
    header["mixture.weight"]["data_offsets"] = [0, 2**31]
    text = json.dumps(header).encode()
    model.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(model, 2**31)
elif case == "tail":
    os.truncate(model, 2**31)
elif case == "config":
    os.truncate(folder / "config.json", 2**40)
try:
    load_package(folder)
except PackageError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS and /proc")
@pytest.mark.parametrize("case", ["none", "sizes", "header", "shape", "tail", "config"])
def test_bounded(make_package, tmp_path, case):
    from dreamenv.packages import save_package

    save_package(make_package(), tmp_path / "p", "card")
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "p", case, str(64 * 2**20)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if case == "none":  # The limit itself works: 64 MiB more than there are cannot be had.
        assert "MemoryError" in ran.stderr
    else:
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith("refused: "), json.dumps([ran.stdout, ran.stderr])
