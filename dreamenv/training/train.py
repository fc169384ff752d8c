"""``dreamenv train mdnrnn``: rollouts in, a dream package out."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from pydantic import ValidationError

from dreamenv.claim import claim
from dreamenv.config import DiscreteAction, DreamDefaults, PackageConfig
from dreamenv.data.rollouts import Episode, Rollouts
from dreamenv.errors import DataError
from dreamenv.learn_defaults import LearnDefaults
from dreamenv.models.mdnrnn import MDNRNN, MDNRNNSizes
from dreamenv.package_files import refuse_to_overwrite_others
from dreamenv.packages import Package, load_package, save_package
from dreamenv.progress import Progress, silent
from dreamenv.training.mdnrnn import RNNConfig, fit_mdnrnn, fit_reward_bins, read
from dreamenv.training.sequences import RealSequence, encode, spanning
from dreamenv.training.starts import start_bank
from dreamenv.training.termination import fit_threshold
from dreamenv.training.vae import VAEConfig, fit_vae


@dataclass(frozen=True)
class TrainConfig:
    """One fit of a package. ``sizes`` are those of the family, where they differ from its own."""

    name: str = "Dream"
    vae: VAEConfig = field(default_factory=VAEConfig)
    rnn: RNNConfig = field(default_factory=RNNConfig)
    sizes: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    """Dream knobs (:class:`~dreamenv.config.DreamDefaults`) to put in the package."""
    learn: dict[str, Any] = field(default_factory=dict)
    """Learner settings (:class:`~dreamenv.config.LearnDefaults`) to put in the package."""
    frames_per_decision: int = 1
    """Of the data's: the package's decisions span so many, and its real env repeats actions."""
    firsts: int = 384
    others: int = 1664
    held_out: float = 0.05
    """Share of the episodes that neither VAE nor MDN-RNN sees."""
    seed: int = 0


def train_mdnrnn(
    data: Sequence[Path] | Path,
    out: Path,
    config: TrainConfig | None = None,
    *,
    initial: Package | None = None,
    progress: Progress = silent,
    provenance: dict[str, Any] | None = None,
    card: str | None = None,
) -> Package:
    """Fit VAE and MDN-RNN on rollouts and save the package; killed, the same call goes on.

    Args:
        data: folders of ``dreamenv collect``, all of one real env and preprocessing.
        out: the package's folder; checkpoints are kept beside it in ``OUT.training``.
        initial: a package of the same sizes to train on from.

    Raises:
        DataError: too few episodes, data of different real envs, settings that no package can
            have, an ``initial`` of other sizes, or an ``OUT.training`` that was begun with other
            data or settings.
        PackageError: ``out`` holds something that is no package.
    """
    config = config or TrainConfig()
    rollouts = Rollouts.open(data)
    episodes = rollouts.episodes
    if len(episodes) < 2:
        raise DataError(f"{data}: expected at least 2 episodes, got {len(episodes)}; collect more")
    sizes = _sizes(rollouts, config.sizes)
    described = _described(rollouts, sizes, config)  # and what is wrong with it said at once
    refuse_to_overwrite_others(out)
    training, held_out = split(episodes, config.held_out)
    torch.manual_seed(config.seed)
    model = MDNRNN(sizes)
    if initial is not None:
        try:
            model.load_state_dict(initial.weights)
        except RuntimeError as error:  # sizes that shape no weight, as dropout, may differ
            raise DataError(
                f"initial: expected a package of sizes {asdict(sizes)}, got {initial.config.sizes}"
            ) from error
    folder = out.with_name(out.name + ".training")
    claim_training(folder, rollouts, initial, asdict(config))
    if config.vae.steps:
        fit_vae(
            model.vae,
            training,
            config.vae,
            seed=config.seed,
            folder=folder,
            progress=progress,
        )
    shows_endings = rollouts.real.shows_endings
    frames = config.frames_per_decision
    seen = encode(model.vae, training, progress, shows_endings)
    sequences = by_decisions(seen, frames, range(frames), sizes.action)
    fit_reward_bins(model, sequences, keep=initial is not None)
    fit_mdnrnn(model, sequences, config.rnn, seed=config.seed, folder=folder, progress=progress)
    unseen = encode(model.vae, held_out, silent, shows_endings)
    unseen = by_decisions(unseen, frames, [0], sizes.action)
    measured, threshold = _measure(model, unseen)
    never_ends = not any(e.terminated for e in episodes)
    knobs = {"threshold": threshold} | ({"termination": "none"} if never_ends else {})
    package = Package(
        config=described.model_copy(
            update={
                "defaults": DreamDefaults(**(knobs | config.defaults)),
                "provenance": {
                    "real_steps": rollouts.real_steps,
                    "episodes": len(episodes),
                    "held_out_episodes": len(held_out),
                    "held_out": measured,
                    "training": asdict(config),
                    "versions": versions(),
                }
                | (provenance or {}),
            }
        ),
        weights=model.state_dict(),
        starts=start_bank(
            model,
            by_decisions(seen, frames, [0], sizes.action),
            firsts=config.firsts,
            others=config.others,
            seed=config.seed,
        ),
        path=None,
    )
    save_package(package, out, card or "")
    return load_package(out)


def _described(rollouts: Rollouts, sizes: MDNRNNSizes, config: TrainConfig) -> PackageConfig:
    """The package's config as far as it does not depend on the fit.

    Raises:
        DataError: a setting that no package can have.
    """
    try:
        return PackageConfig(
            name=config.name,
            family="mdnrnn",
            sizes=asdict(sizes),
            observation_shape=list(rollouts.observation_shape),
            action=rollouts.action,
            latent=sizes.latent,
            features=sizes.latent + sizes.hidden,
            latent_bound=sizes.latent_bound,
            real=rollouts.real.repeating(config.frames_per_decision),
            defaults=DreamDefaults(**config.defaults),
            learn=LearnDefaults(**config.learn),
        )
    except ValidationError as error:
        raise DataError(f"settings of the package: {error}") from error


def by_decisions(
    sequences: Sequence[RealSequence], frames: int, offsets: Iterable[int], actions: int
) -> list[RealSequence]:
    """Episodes by decisions of so many frames, from each of the offsets; as they are for one."""
    if frames == 1:
        return list(sequences)
    views = (spanning(one, frames, offset, actions) for one in sequences for offset in offsets)
    return [view for view in views if view is not None]


def split(episodes: Sequence[Episode], share: float) -> tuple[list[Episode], list[Episode]]:
    """Training and held-out episodes: every so-many-th is held out, at least one."""
    every = max(2, round(1.0 / share)) if share > 0 else len(episodes)
    held_out = [e for i, e in enumerate(episodes) if i % every == every - 1] or [episodes[-1]]
    chosen = {id(e) for e in held_out}
    return [e for e in episodes if id(e) not in chosen], held_out


def _measure(model: MDNRNN, unseen: list[RealSequence]) -> tuple[dict[str, float], float]:
    """Figures on held-out episodes, fed real frames, and the fitted termination cut."""
    readings = dict(read(model, unseen))
    order = range(len(unseen))
    endings = fit_threshold(
        [readings[i].termination.numpy() for i in order], [s.terminated for s in unseen]
    )
    said = np.concatenate([readings[i].reward.numpy() for i in order])
    actual = np.concatenate([s.rewards.numpy() for s in unseen])
    measured = {
        "nll": float(np.concatenate([readings[i].nll.numpy() for i in order]).mean()),
        "reward_mae": float(np.abs(said - actual).mean()),
        "reward_bias": float((said - actual).mean()),
        "endings_actual": endings.actual,
        "endings_predicted": endings.predicted,
    }
    return measured, endings.threshold


def _sizes(rollouts: Rollouts, chosen: dict[str, Any]) -> MDNRNNSizes:
    shape, action = rollouts.observation_shape, rollouts.action
    if len(shape) != 3:
        raise DataError(f"expected frames [height, width, channels], got shape {shape}")
    discrete = isinstance(action, DiscreteAction)
    return MDNRNNSizes(
        height=shape[0],
        width=shape[1],
        channels=shape[2],
        action=action.n if isinstance(action, DiscreteAction) else action.size,
        discrete=int(discrete),
        **{"judges_next": int(rollouts.real.shows_endings), **chosen},
    )


def claim_training(
    folder: Path, rollouts: Rollouts, initial: Package | None, config: dict[str, Any]
) -> None:
    """Let a folder's checkpoints be those of this training: they are gone on with, and are of no
    use to other data or settings.

    Raises:
        DataError: they are another training's.
    """
    claim(
        folder / "training.json",
        {
            "data": [sha256(m.model_dump_json().encode()).hexdigest() for m in rollouts.manifests],
            "episodes": len(rollouts.episodes),
            "initial": None if initial is None else initial.identity,
            "config": config,
        },
    )


def versions() -> dict[str, str]:
    """What a package was made with."""
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gymnasium": gym.__version__,
        "dreamenv": version("dreamenv"),
    }
