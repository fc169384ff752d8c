import importlib.util
import sys
from pathlib import Path

# Test modules have no package (--import-mode=importlib): give them the env's module by name.
_spec = importlib.util.spec_from_file_location(
    "block_env", Path(__file__).with_name("block_env.py")
)
_module = importlib.util.module_from_spec(_spec)
sys.modules["block_env"] = _module
_spec.loader.exec_module(_module)
