import importlib.util
import sys
from pathlib import Path

# Test modules have no package (--import-mode=importlib): give them the envs' modules by name.
for _name in ("block_env", "line_env"):
    _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(f"{_name}.py"))
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_name] = _module
    _spec.loader.exec_module(_module)
