"""A package's card: its README.md, made from what its config says was measured."""

from __future__ import annotations

from typing import Any

from dreamenv.config import PackageConfig

FAMILIES = {
    "mdnrnn": "a VAE + MDN-RNN (Ha & Schmidhuber 2018) with predicted reward and termination",
    "ensemble": "a bootstrapped ensemble of probabilistic networks (Chua et al. 2018; Janner et "
    "al. 2019) with predicted reward and learned termination",
}


MOST_ROUNDS = 25
"""That a card shows; of more, some, evenly, with the first and the last. Its config has all."""


def card(config: PackageConfig) -> str:
    """Markdown: what it is, what it was made from, real return against real steps."""
    provenance = config.provenance
    step = "frame" if config.observation_dtype == "uint8" else "step"
    times = config.real.frames_per_step
    lines = [
        f"# {config.name}",
        "",
        f"A dream of `{config.real.env_id}`: {FAMILIES[config.family]}, as a Gymnasium "
        "environment.",
        "",
        "```python",
        "import gymnasium as gym, dreamenv",
        "",
        f'env = gym.make("{config.name}")',
        "```",
        "",
        f"- One decision is {times} real {step}{'s' if times > 1 else ''}.",
        f"- Real {step}s behind the package: {provenance.get('real_steps', 0):,}.",
    ]
    if config.trust is not None:
        lines.append("- It knows how unsure it is: `trust_penalty` and `trust_limit` apply.")
    if "command" in provenance:
        lines.append(f"- Made by `{provenance['command']}`.")
    if sides := provenance.get("healthy_range"):
        lines.append(f"- Episodes end where, as the data show, {_where(sides)}.")
    lines += [f"- {note}" for note in provenance.get("notes", [])]
    if curve := provenance.get("curve"):
        begun = "went on from the last round's" if provenance.get("keep_policy") else "is new"
        lines += [
            "",
            "## Real return against real steps",
            "",
            f"Each round's policy {begun}, and learnt in that round's dream alone. Intervals are "
            f"95% bootstrap intervals of the mean; evaluation {step}s were never learned from.",
            "",
            f"| round | real {step}s | evaluation {step}s | in its dream | on the real env |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {r['round']} | {r['real_steps']:,} | {r['evaluation_steps']:,} "
            f"| {_interval(r['dream_return'])} | {_interval(r['real_return'])} |"
            for r in _some(curve)
        ]
    return "\n".join(lines) + "\n"


def _some(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = len(rounds) - 1
    if last < MOST_ROUNDS:
        return rounds
    return [rounds[round(i * last / (MOST_ROUNDS - 1))] for i in range(MOST_ROUNDS)]


def _where(sides: list[dict[str, Any]]) -> str:
    """In words: the bounds that a state leaves its healthy range by, in the real env's units."""
    return " or ".join(
        f"`observation[{side['number']}]` is {'above' if side['sign'] > 0 else 'below'} "
        f"{side['bound']:.4g}"
        for side in sides
    )


def _interval(figure: dict[str, Any]) -> str:
    return f"{figure['mean']:.0f} [{figure['low']:.0f}, {figure['high']:.0f}]"
