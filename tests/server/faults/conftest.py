import sys
from pathlib import Path

# Test modules have no package (--import-mode=importlib): let them find proxy.py by name.
sys.path.insert(0, str(Path(__file__).parent))
