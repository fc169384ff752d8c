"""The loop all families share: steps, learning rate, checkpoints, TensorBoard, progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dreamenv.progress import Progress
from dreamenv.training.checkpoint import load_checkpoint, save_checkpoint

LossFunction = Callable[[int, torch.Generator], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class FitConfig:
    """How to take gradient steps."""

    steps: int
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4
    """The rate falls on a cosine from the first to the last step."""
    clip: float = 10.0
    """Greatest gradient norm."""
    seed: int = 0
    checkpoint_seconds: float = 60.0


def fit(
    stage: str,
    model: nn.Module,
    parameters: list[nn.Parameter],
    loss: LossFunction,
    config: FitConfig,
    folder: Path,
    progress: Progress,
    extra: dict[str, Any] | None = None,
) -> None:
    """Train ``model`` in place, from the stage's checkpoint in ``folder`` if there is one.

    Args:
        loss: given the step and a generator seeded by (seed, step), returns the loss and figures to
            show; so a resumed run draws what an uninterrupted one would.
        extra: more state to keep with a checkpoint (tensors); restored in place by key.
    """
    path = folder / f"{stage}.pt"
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate)
    first = 0
    if (kept := load_checkpoint(path)) is not None:
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        first = kept["step"]
        for name, value in kept["extra"].items():
            assert extra is not None
            extra[name] = value

    def checkpoint(step: int) -> None:
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
        save_checkpoint(path, state | {"extra": extra or {}})

    schedule = _cosine(config)
    writer = _writer(folder / "tensorboard" / stage)
    generator = torch.Generator()
    saved = began = time.monotonic()
    model.train()
    for step in range(first, config.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule(step)
        generator.manual_seed((config.seed * 1_000_003 + step) % 2**63)
        value, figures = loss(step, generator)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip)
        optimiser.step()
        now = time.monotonic()
        if step % 20 == 0 or step + 1 == config.steps:
            rate = (step + 1 - first) / max(now - began, 1e-9)
            progress(stage, step + 1, config.steps, figures | {"steps/s": rate})
            if writer is not None:
                for name, figure in figures.items():
                    writer.add_scalar(name, figure, step)
        if now - saved > config.checkpoint_seconds:
            checkpoint(step + 1)
            saved = now
    if first < config.steps:
        checkpoint(config.steps)
    if writer is not None:
        writer.close()
    model.eval()


def _cosine(config: FitConfig) -> Callable[[int], float]:
    def rate(step: int) -> float:
        share = step / max(config.steps - 1, 1)
        fall = 0.5 * (1.0 + float(torch.cos(torch.tensor(share * torch.pi))))
        return config.final_learning_rate + fall * (
            config.learning_rate - config.final_learning_rate
        )

    return rate


def _writer(folder: Path) -> Any:
    """TensorBoard, where it is installed (extra ``sb3``)."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
