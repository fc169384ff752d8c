"""Many trials, a process each: a learner gains little by a second core, two learners a lot."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from dreamenv.progress import Progress, labelled, silent
from dreamenv.threads import end_with_parent, one_thread_a_worker
from dreamenv.trial import Trial, TrialConfig, run_trial

EVERY = 1.0
"""Seconds between what a worker says of one stage."""


def run_trials(
    trials: Sequence[tuple[TrialConfig, Path]],
    *,
    workers: int = 2,
    progress: Progress = silent,
    finished: Callable[[int, Trial], None] = lambda number, trial: None,
) -> list[Trial]:
    """:func:`~dreamenv.trial.run_trial` for each, ``workers`` at a time; what comes of a trial does
    not depend on that. A script must guard its entry (``if __name__ == "__main__":``), as always
    with spawned processes.

    Args:
        trials: each with its folder.
        finished: called with the number of each trial as it is done, and with what came of it.

    Raises:
        DataError: a folder holds another trial.
    """
    done: dict[int, Trial] = {}

    def note(number: int, trial: Trial) -> None:
        done[number] = trial
        finished(number, trial)

    if workers == 1 or len(trials) == 1:
        for number, (config, folder) in enumerate(trials):
            told = labelled(_label(folder), progress)
            note(number, run_trial(config, folder, workers=workers, progress=told))
        return [done[number] for number in range(len(trials))]
    context = multiprocessing.get_context("spawn")
    said = context.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(said, progress), daemon=True)
    listener.start()
    try:
        with (
            one_thread_a_worker(),
            ProcessPoolExecutor(
                min(workers, len(trials)), context, initializer=_start, initargs=(said,)
            ) as pool,
        ):
            futures = {pool.submit(_work, *trial): number for number, trial in enumerate(trials)}
            try:
                for future in as_completed(futures):
                    note(futures[future], future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        said.put(None)
        listener.join()
    return [done[number] for number in range(len(trials))]


_worker: dict[str, Any] = {}


def _start(said: Any) -> None:
    end_with_parent()
    _worker["said"] = said


def _work(config: TrialConfig, folder: Path) -> Trial:
    last: dict[str, float] = {}

    def say(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
        now = time.monotonic()
        if done >= total or now - last.get(stage, -EVERY) >= EVERY:
            last[stage] = now
            _worker["said"].put((stage, done, total, dict(figures or {})))

    return run_trial(config, folder, workers=1, progress=labelled(_label(folder), say))


def _listen(said: Any, progress: Progress) -> None:
    while (message := said.get()) is not None:
        progress(*message)


def _label(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"
