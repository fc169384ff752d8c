"""The wire contract: its generated code has not drifted, and no released client breaks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dreamenv_client.v1 import dream_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parents[1]
PROTOS = ROOT / "protos"
GENERATED = ROOT / "clients" / "python"
RELEASED = PROTOS / "released" / "v1.binpb"
BIN = Path(sys.executable).parent


def run(*command: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, "BUF_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


def breaking(protos: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return run(BIN / "buf", "breaking", protos, "--against", RELEASED, cache=cache)


def test_generated_code_is_what_the_protos_say(tmp_path):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    target = ["make", "--old-file=install", "protos"]
    made = run(*target, f"BIN={BIN}", f"GENERATED={fresh}", cache=tmp_path)
    assert made.returncode == 0, made.stderr
    written = sorted(fresh.rglob("*.py*"))
    assert [path.name for path in written] == ["dream_pb2.py", "dream_pb2.pyi"]
    for path in written:
        kept = GENERATED / path.relative_to(fresh)
        assert kept.read_bytes() == path.read_bytes(), f"{kept}: run `make protos`"


def test_lint(tmp_path):
    found = run(BIN / "buf", "lint", PROTOS, cache=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr


def test_released_contract_is_all_there():
    """An empty file would be broken by nothing."""
    released = FileDescriptorSet.FromString(RELEASED.read_bytes())
    [file] = released.file
    assert file.package == "dreamenv.v1"
    methods = {method.name for service in file.service for method in service.method}
    assert {"OpenSession", "Session", "Step", "Restore", "Filter", "Rollout"} <= methods
    served = {method.name for method in dream_pb2.DESCRIPTOR.services_by_name["Dreams"].methods}
    assert methods <= served


def test_breaks_nothing_that_was_released(tmp_path):
    found = breaking(PROTOS, tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr


CHANGES = {
    "a field is removed": (r"  uint32 lanes = 2;  // at least 1\n", "", "lanes"),
    "a field is renumbered": (r"fixed64 seq = 3;", "fixed64 seq = 9;", '"3"'),
    "a field is retyped": (r"bytes request_id = 6;", "string request_id = 6;", "request_id"),
    "a field is renamed": (r"string starts = 5;", "string begin = 5;", "starts"),
    "a field becomes repeated": (r"  bytes data = 3;", "  repeated bytes data = 3;", "data"),
    "a number is used again": (r"bool without_observations = 5;", "int64 n = 5;", '"5"'),
    "a oneof is left": (
        r"    Discrete discrete = 2;\n  }",
        "  }\n  Discrete discrete = 2;",
        "oneof",
    ),
    "an enum value is removed": (r"  DTYPE_INT8 = 3;\n", "", "3"),
    "an enum value is renumbered": (r"DTYPE_FLOAT64 = 8;", "DTYPE_FLOAT64 = 9;", "8"),
    "a method is removed": (r"  rpc Filter\(.*\n", "", "Filter"),
    "a method answers otherwise": (
        r"\(ConfigureRequest\) returns \(ConfigureReply\)",
        "(ConfigureRequest) returns (LaneStep)",
        "Configure",
    ),
    "a stream becomes a call": (
        r"returns \(stream RolloutReply\)",
        "returns (RolloutReply)",
        "Rollout",
    ),
    "a message is renamed": (r"\bBranchRequest\b", "ForkRequest", "BranchRequest"),
    "the package is renamed": (r"package dreamenv\.v1;", "package dreams.v1;", "package"),
}


def changed(folder: Path, pattern: str, by: str) -> Path:
    protos = folder / "protos"
    shutil.copytree(PROTOS, protos)
    contract = protos / "dreamenv" / "v1" / "dream.proto"
    text, times = re.subn(pattern, by, contract.read_text(encoding="utf-8"))
    assert times, f"{pattern} is not in {contract.name} any more"
    contract.write_text(text, encoding="utf-8")
    return protos


@pytest.mark.parametrize(("pattern", "by", "named"), CHANGES.values(), ids=CHANGES)
def test_a_break_is_found(pattern, by, named, tmp_path):
    found = breaking(changed(tmp_path, pattern, by), tmp_path)
    assert found.returncode == 100, found.stdout + found.stderr
    assert named in found.stdout


def test_an_addition_is_none(tmp_path):
    added = r"\g<0>\n  bool new = 99;"
    protos = changed(tmp_path, r"message StepRequest {", added)
    found = breaking(protos, tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
