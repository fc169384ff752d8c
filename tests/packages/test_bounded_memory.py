"""Absurd sizes are refused within bounded memory, wherever they are claimed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("absurd_sizes.py")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS and /proc")
def test_absurd_sizes_are_refused_with_64_mebibytes_to_spare(tiny_package, tmp_path):
    ran = subprocess.run(
        [sys.executable, SCRIPT, tiny_package, tmp_path, str(64 * 2**20)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said.pop("limit") == "in force"
    assert set(said) == {"sizes", "ensemble", "header", "shape", "tail", "config"}
    assert "model.safetensors: vae" in said["sizes"]
    assert "model.safetensors: names: expected the tensors" in said["ensemble"]
    assert "header length: expected at most 1048576 bytes" in said["header"]
    assert "mixture.weight: shape: expected [24, 8], found [268435456, 2]" in said["shape"]
    assert "model.safetensors: size: expected" in said["tail"]
    assert "config.json: size: expected at most 1048576 bytes" in said["config"]
