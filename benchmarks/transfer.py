"""What policies trained only in a dream score on the real env: several seeds, unseen episodes.

    python benchmarks/transfer.py --work runs/transfer --out docs/figures/transfer.json

Every seed trains from scratch by ``dreamenv learn`` with its defaults (``--temperature``,
``--horizon`` and ``--timesteps`` compare others), then plays its own episodes in the dream and on
the real env. ``--first-seed`` moves the evaluation to other tracks, so that what is chosen by one
run is reported on another.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from dreamenv.evaluate import evaluate
from dreamenv.learn import learn
from dreamenv.packages import load_config
from dreamenv.progress import LogLines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="Dream-CarRacing-v0")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timesteps", type=int)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--horizon", type=int)
    parser.add_argument("--deterministic", action="store_true", help="the policies' modes")
    parser.add_argument(
        "--work", type=Path, required=True, help="keeps policies: go on after a kill"
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    chosen = {"temperature": arguments.temperature, "horizon": arguments.horizon}
    knobs = {name: value for name, value in chosen.items() if value is not None}
    progress = LogLines(30)
    mode = "mode" if arguments.deterministic else "sampled"
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        policy = arguments.work / f"{seed}.zip"
        if not policy.exists():
            learn(
                arguments.dream,
                out=policy,
                timesteps=arguments.timesteps,
                seed=seed,
                knobs=knobs,
                progress=progress,
            )
        row: dict[str, Any] = {"seed": seed}
        for on in ("dream", "real"):
            done = arguments.work / f"{seed}-{on}-{mode}.json"
            if not done.exists():
                scored = evaluate(
                    policy,
                    arguments.dream,
                    on=on,
                    episodes=arguments.episodes,
                    seed=seed,
                    deterministic=arguments.deterministic,
                    workers=arguments.workers,
                    progress=progress,
                )
                done.write_text(json.dumps(scored.to_json()))
            row[on] = json.loads(done.read_text())
        rows.append(row)
        print(
            f"seed {seed}: dream {row['dream']['mean']:.0f}, real {row['real']['mean']:.0f} "
            f"[{row['real']['low']:.0f}, {row['real']['high']:.0f}]",
            flush=True,
        )
    random = evaluate(
        "random",
        arguments.dream,
        on="real",
        episodes=arguments.episodes,
        seed=arguments.first_seed,
        workers=arguments.workers,
        progress=progress,
    )
    result = {
        "dream": arguments.dream,
        "knobs": knobs,
        "policies": mode,
        "real_steps_behind_the_package": load_config(arguments.dream).provenance["real_steps"],
        "real_steps_added_by_learning": 0,
        "median_of_real_means": statistics.median(row["real"]["mean"] for row in rows),
        "median_of_dream_means": statistics.median(row["dream"]["mean"] for row in rows),
        "random": random.to_json(),
        "seeds": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"median of the real means: {result['median_of_real_means']:.0f}")


if __name__ == "__main__":
    main()
