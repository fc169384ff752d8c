"""Real episodes and packages that the benchmarks of ensembles are made of, kept in a work folder:
killed, the same call goes on, and once made they are read."""

from __future__ import annotations

from pathlib import Path

from dreamenv.data.collect import CollectConfig, collect
from dreamenv.data.rollouts import Rollouts
from dreamenv.packages import Package, load_package
from dreamenv.progress import Progress, labelled
from dreamenv.real_specs import load_real_spec
from dreamenv.training.ensemble import EnsembleConfig
from dreamenv.training.train_ensemble import EnsembleTrainConfig, train_ensemble

RANDOM_EPISODES = {
    "Pendulum-v1": 20,
    "CartPole-v1": 200,
    "InvertedPendulum-v5": 600,
    "Hopper-v5": 900,
}
"""That a package is fitted on, of random actions: about 4,000 steps, of Hopper 20,000."""
HELD_OUT_SEED = 7_000_000
"""Episodes that are not fitted on are collected under seeds from here on."""


def random_package(env: str, work: Path, *, steps: int, seed: int, progress: Progress) -> Package:
    """An ensemble fitted on random actions alone."""
    data, out = work / env / "training", work / env / f"package-{seed}-{steps}"
    say = labelled(env, progress)
    collect(
        CollectConfig(load_real_spec(env), data, RANDOM_EPISODES[env], episodes_per_shard=100), say
    )
    if out.exists():
        return load_package(out)
    config = EnsembleTrainConfig(name=env, ensemble=EnsembleConfig(steps=steps), seed=seed)
    return train_ensemble(data, out, config, progress=say)


def held_out(
    env: str,
    work: Path,
    episodes: int,
    progress: Progress,
    *,
    hold: int = 4,
    policy: Path | None = None,
    dream: str | None = None,
) -> Rollouts:
    """Episodes that no package is fitted on.

    Args:
        hold: random actions are held for so many decisions at most.
        policy: acts instead, after 0 to 20 random decisions and with noise that differs from
            episode to episode, as it sees the env through ``dream``.
    """
    name = f"random-{hold}" if policy is None else f"policy-{policy.stem}"
    config = CollectConfig(
        load_real_spec(env),
        work / env / f"{name}-{episodes}",
        episodes,
        seed=HELD_OUT_SEED + hold,
        hold=hold,
        episodes_per_shard=100,
        policy="random" if policy is None else str(policy),
        dream=dream,
        noise=0.0 if policy is None else 0.3,
        random_prefix=0 if policy is None else 20,
    )
    return collect(config, labelled(f"{env}, {name}", progress))
