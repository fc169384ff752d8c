"""What policies trained only in a dream score on the real env: several seeds, unseen episodes.

    python benchmarks/transfer.py --work runs/transfer --out docs/figures/transfer_car_racing.json

Every seed trains from scratch by ``dreamenv learn`` with its defaults, then plays its own episodes
in the dream and on the real env. ``--first-seed`` moves the evaluation to other tracks, so that
what is chosen by one run is reported on another. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict
from pathlib import Path

from dreamenv.evaluate import evaluate
from dreamenv.packages import load_config
from dreamenv.progress import LogLines
from dreamenv.trial import Trial, TrialConfig
from dreamenv.trials import run_trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dream", default="Dream-CarRacing-v0")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timesteps", type=int)
    parser.add_argument("--deterministic", action="store_true", help="the policies' modes")
    parser.add_argument("--work", type=Path, required=True, help="keeps policies")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    progress = LogLines(30)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)

    def finished(number: int, trial: Trial) -> None:
        real = trial.real
        print(
            f"seed {trial.seed}: dream {trial.dream.mean:.0f}, real {real.mean:.0f} "
            f"[{real.low:.0f}, {real.high:.0f}]",
            flush=True,
        )

    trials = run_trials(
        [
            (
                TrialConfig(
                    dream=arguments.dream,
                    seed=seed,
                    timesteps=arguments.timesteps,
                    episodes=arguments.episodes,
                    evaluation_seed=seed,
                    deterministic=arguments.deterministic,
                ),
                arguments.work / str(seed),
            )
            for seed in seeds
        ],
        workers=arguments.workers,
        progress=progress,
        finished=finished,
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
        "policies": "mode" if arguments.deterministic else "sampled",
        "real_steps_behind_the_package": load_config(arguments.dream).provenance["real_steps"],
        "real_steps_added_by_learning": 0,
        "median_of_real_means": statistics.median(trial.real.mean for trial in trials),
        "median_of_dream_means": statistics.median(trial.dream.mean for trial in trials),
        "random": random.to_json(),
        "seeds": [asdict(trial) for trial in trials],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"median of the real means: {result['median_of_real_means']:.0f}")


if __name__ == "__main__":
    main()
