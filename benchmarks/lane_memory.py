"""What a lane costs in memory: the slope of a process's peak between two numbers of lanes.

    python benchmarks/lane_memory.py [--out docs/figures/lane_memory.json]

Each figure is of two fresh processes, which make a dream and step all its lanes as one batch, the
dearest way there is. What does not grow with the lanes (Python, torch, the weights) is the rest.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
from pathlib import Path
from typing import Any

KINDS = ("features", "latent", "pixels")
FEW, MANY = 256, 1024
STEPS = 3


def peak(dream: str, kind: str, lanes: int) -> int:
    """Bytes that this process held at most, once it has stepped a dream of so many lanes."""
    import torch

    from dreamenv.dream import Dream
    from dreamenv.packages import load_package
    from dreamenv.sources import resolve

    torch.set_num_threads(1)
    asleep = Dream(load_package(resolve(dream)), lanes, obs=kind, termination="none")
    asleep.action_space.seed(0)
    asleep.reset(seeds=list(range(lanes)))
    for _ in range(STEPS):
        asleep.step([asleep.action_space.sample() for _ in range(lanes)])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(dream: str, kind: str) -> dict[str, Any]:
    """A row of the table."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        few, many = fresh.starmap(peak, [(dream, kind, FEW), (dream, kind, MANY)], chunksize=1)
    lane = (many - few) / (MANY - FEW)
    return {
        "dream": dream,
        "observation": kind,
        "bytes a lane": round(lane),
        "bytes without lanes": round(few - FEW * lane),
    }


def main() -> None:
    from dreamenv.sources import shipped

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    figures = {
        "lanes": [FEW, MANY],
        "machine": platform.machine(),
        "rows": [measured(dream, kind) for dream in sorted(shipped()) for kind in KINDS],
    }
    text = json.dumps(figures, indent=1) + "\n"
    print(text, end="")
    if out is not None:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
