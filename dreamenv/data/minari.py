"""Rollouts to and from Minari datasets (the extra ``minari``).

Minari keeps its local datasets under ``~/.minari/datasets``, or ``MINARI_DATASETS_PATH``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dreamenv.config import RealSpec
from dreamenv.data.lock import sole_writer
from dreamenv.data.manifest import Manifest, installed_versions, write_manifest
from dreamenv.data.minari_reader import KEY, MinariReader
from dreamenv.data.rollouts import Episode, Rollouts, finished_shards
from dreamenv.data.scratch import scratch_folder
from dreamenv.data.shards import remove_unfinished, write_shard
from dreamenv.errors import DataError
from dreamenv.frame_steps import shown_space

EPISODES_PER_SHARD = 8


def export_minari(rollouts: Rollouts, dataset_id: str) -> Path:
    """Write rollouts as the local Minari dataset ``dataset_id``; it appears whole or not at all.

    Frames are stored raw (Minari's JPEG encoding is lossy), a shard's worth of episodes at a time.
    Observations and actions are as in :class:`Episode`, so the dataset names no env of its own.

    Returns:
        The dataset's folder.

    Raises:
        ValueError: an id that Minari refuses (it wants ``(namespace/)name-v0``).
        DataError: there is a dataset of that id.
        ImportError: Minari is not installed.
    """
    _require_minari()
    from minari import __version__
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.dataset.minari_storage import MinariStorage
    from minari.namespace import create_namespace, list_local_namespaces
    from minari.storage import get_dataset_path

    namespace, _, _ = parse_dataset_id(dataset_id)
    target = Path(get_dataset_path(dataset_id))
    if (target / "data").exists():
        raise DataError(
            f"{target}: expected no dataset {dataset_id!r} yet; choose another version, or "
            "remove it with `minari delete`"
        )
    if namespace is not None and namespace not in list_local_namespaces():
        create_namespace(namespace)
    target.mkdir(parents=True, exist_ok=True)
    with scratch_folder(".unfinished-", target) as scratch:
        unfinished = scratch / "data"
        storage = MinariStorage.new(
            unfinished,
            observation_space=shown_space(rollouts.observation_shape, rollouts.observation_dtype),
            action_space=rollouts.action.space(),
            jpeg_encoding=False,
        )
        policies = sorted({episode.policy for episode in rollouts.episodes})
        storage.update_metadata(
            {
                "dataset_id": dataset_id,
                "minari_version": __version__,
                "algorithm_name": ", ".join(policies),
                "description": f"{rollouts.real.env_id}, preprocessed by dreamenv",
                KEY: rollouts.real.model_dump_json(),
            }
        )
        for first in range(0, len(rollouts.episodes), EPISODES_PER_SHARD):
            batch = rollouts.episodes[first : first + EPISODES_PER_SHARD]
            storage.update_episodes([_buffer(episode) for episode in batch])
            storage.update_episode_metadata(
                [{"policy": e.policy, "real_steps": e.real_steps} for e in batch],
                range(first, first + len(batch)),
            )
        unfinished.rename(target / "data")
    return target


def import_minari(dataset_id: str, out: Path, real: RealSpec | None = None) -> Rollouts:
    """Write the local Minari dataset ``dataset_id`` as a folder of rollouts.

    Killed, the same call goes on.

    Args:
        real: the env behind the dataset. One that dreamenv exported knows its own. Any other holds
            an env's raw observations and actions, to which ``real``'s crops, resizes and
            (backwards) ``rescale_action`` are applied (without one, the bounds of the dataset's
            action space); its actions cannot be regrouped, so ``action_repeat`` is refused.

    Raises:
        DataError: no such dataset, neither uint8 frames nor vectors of floats, a NaN, actions that
            ``real`` cannot express, an episode that is not one (no last observation, ends in its
            middle), or ``out`` holds something else.
        ImportError: Minari is not installed.
    """
    _require_minari()
    import minari

    try:
        dataset = minari.load_dataset(dataset_id)
    except FileNotFoundError as error:
        raise DataError(
            f"Minari dataset {dataset_id!r}: expected a local one, found none; "
            f"`minari download {dataset_id}` fetches it, `minari list local` shows what there is"
        ) from error
    reader = MinariReader(dataset, real)
    manifest = Manifest(
        real=reader.real,
        observation_shape=list(reader.frames.shape),
        observation_dtype="float32" if reader.frames.is_vector else "uint8",
        action=reader.action,
        episodes=dataset.total_episodes,
        episodes_per_shard=EPISODES_PER_SHARD,
        policy=str(dataset.storage.metadata.get("algorithm_name", "unknown")),
        source={"minari": dataset_id},
        versions=installed_versions() | {"minari": minari.__version__},
    )
    out.mkdir(parents=True, exist_ok=True)
    with sole_writer(out):
        write_manifest(out, manifest)
        remove_unfinished(out)
        done = set(finished_shards(out, manifest))
        for shard, count in enumerate(manifest.shards):
            if shard not in done:
                first = shard * EPISODES_PER_SHARD
                episodes = reader.episodes(range(first, first + count), manifest.policy)
                write_shard(out, shard, list(episodes))
    return Rollouts.open(out)


def _require_minari() -> None:
    try:
        import h5py
        import minari  # noqa: F401
    except ImportError as error:
        raise ImportError('Minari datasets need: pip install "dreamenv[minari]"') from error
    del h5py


def _buffer(episode: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    last = np.arange(len(episode)) == len(episode) - 1
    return EpisodeBuffer(
        seed=episode.seed,
        observations=episode.frames,
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=last & episode.terminated,
        truncations=last & episode.truncated,
    )
