import importlib.util
import sys
from pathlib import Path

# Test modules have no package (--import-mode=importlib): give them the env's module by name.
_spec = importlib.util.spec_from_file_location(
    "frames_env", Path(__file__).with_name("frames_env.py")
)
_module = importlib.util.module_from_spec(_spec)
sys.modules["frames_env"] = _module
_spec.loader.exec_module(_module)
