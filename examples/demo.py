"""The main job, end to end: learn to drive in a dream, then drive the real track.

Trains a PPO policy from scratch in the shipped dream, evaluates it on real, unseen tracks next to a
random policy, prints one table, and saves pictures, a film and the policy in ``out/demo``.

    make demo                 under 10 minutes on two cores
    make demo ARGS=--quick    under 2 minutes; too short to drive well
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from demo_pictures import Scores, drive, save_curve, save_film, save_strip
from rich.console import Console
from rich.table import Table

from dreamenv.cli.door import interval
from dreamenv.data.policies import load_policy
from dreamenv.evaluate import Evaluation, evaluate, evaluation_seeds
from dreamenv.learn import Learned, learn
from dreamenv.packages import load_config
from dreamenv.progress import Progress, console, labelled


@dataclass(frozen=True)
class DemoConfig:
    """What to show."""

    dream: str = "Dream-CarRacing-v0"
    out: Path = Path("out/demo")
    seed: int = 0
    timesteps: int | None = None
    """Decisions in the dream; None is the package's recipe."""
    tracks: int = 10
    """Real episodes of each policy."""
    dream_episodes: int = 100
    film_steps: int = 250
    """Decisions at most."""
    workers: int = 2
    """Processes that drive the real env."""


def score(name: str, policy: str | Path, config: DemoConfig, progress: Progress) -> Scores:
    """Play whole episodes in the dream, then on the real tracks: the same ones for every policy."""

    def play(on: Literal["dream", "real"], episodes: int) -> Evaluation:
        return evaluate(
            policy,
            config.dream,
            on=on,
            episodes=episodes,
            seed=config.seed,
            workers=config.workers,
            progress=labelled(name, progress),
        )

    return Scores(name, play("dream", config.dream_episodes), play("real", config.tracks))


def table(scores: list[Scores], config: DemoConfig) -> Table:
    """Dream return beside real return, and how many real frames they cost."""
    behind = load_config(config.dream).provenance.get("real_steps", "unknown")
    if isinstance(behind, int):
        behind = f"{behind:,}"
    made = Table(
        "policy",
        "dream return",
        "real return",
        title=f"{config.dream}: mean of whole episodes [95% interval]",
        caption=f"real frames behind the package: {behind}; added by this policy: 0\n"
        f"dream: {config.dream_episodes} episodes; real: {config.tracks} unseen tracks"
        f" ({sum(s.real.real_steps for s in scores):,} frames, of which nothing was learnt)",
    )
    for row in scores:
        cells = (interval(e.mean, e.low, e.high) for e in (row.dream, row.real))
        made.add_row(row.name, *cells)
    return made


def run(config: DemoConfig) -> None:
    """Learn, score, show, save."""
    began = time.monotonic()
    screen = Console()
    config.out.mkdir(parents=True, exist_ok=True)
    screen.print(f"PPO learns in {config.dream}: no real env is touched", style="bold")
    with console() as progress:
        learned: Learned = learn(
            config.dream,
            out=config.out / "policy.zip",
            algo="ppo",
            timesteps=config.timesteps,
            seed=config.seed,
            progress=progress,
        )
    screen.print(f"{learned.timesteps:,} decisions, {learned.steps_per_second:,.0f} steps/s")
    screen.print(f"that policy and a random one drive {config.tracks} real tracks", style="bold")
    with console() as progress:
        scores = [
            score("learnt in the dream", learned.path, config, progress),
            score("random", "random", config, progress),
        ]
    screen.print(table(scores, config))

    track = evaluation_seeds(config.seed, 1)[0]
    shown = drive(load_policy(learned.path), config.dream, track, config.film_steps)
    save_strip(shown, config.out / "side_by_side.png")
    save_film(shown, config.out / "side_by_side.mp4")
    save_curve(learned, scores, config.out / "curve.png")
    for name in ("policy.zip", "side_by_side.png", "side_by_side.mp4", "curve.png"):
        screen.print(f"  {config.out / name}")
    screen.print(f"{time.monotonic() - began:.0f} seconds in all")


def main() -> None:
    """Read the command line."""
    given = DemoConfig()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="under 2 minutes")
    parser.add_argument("--dream", default=given.dream, help="a shipped id, a folder, or a hub id")
    parser.add_argument("--out", type=Path, default=given.out)
    parser.add_argument("--seed", type=int, default=given.seed)
    asked = parser.parse_args()
    config = DemoConfig(dream=asked.dream, out=asked.out, seed=asked.seed)
    if asked.quick:
        config = DemoConfig(
            dream=asked.dream,
            out=asked.out,
            seed=asked.seed,
            timesteps=200_000,
            tracks=2,
            film_steps=100,
        )
    run(config)


if __name__ == "__main__":
    main()
