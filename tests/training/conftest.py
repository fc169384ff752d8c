import importlib.util
import os
import sys
from pathlib import Path

import pytest

# Test modules have no package (--import-mode=importlib): give them the envs' modules by name.
for _name in ("block_env", "line_env"):
    _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(f"{_name}.py"))
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_name] = _module
    _spec.loader.exec_module(_module)


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_the_disk():
    """Nothing here is about what survives a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield
