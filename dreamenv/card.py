"""A package's card: its README.md, made from what its config says was measured."""

from __future__ import annotations

from typing import Any

from dreamenv.config import PackageConfig


def card(config: PackageConfig) -> str:
    """Markdown: what it is, what it was made from, real return against real steps."""
    provenance = config.provenance
    lines = [
        f"# {config.name}",
        "",
        f"A dream of `{config.real.env_id}`: a VAE + MDN-RNN (Ha & Schmidhuber 2018) with "
        "predicted reward and termination, as a Gymnasium environment.",
        "",
        "```python",
        "import gymnasium as gym, dreamenv",
        "",
        f'env = gym.make("{config.name}")',
        "```",
        "",
        f"- One decision is {config.real.frames_per_step} real frames.",
        f"- Real frames behind the package: {provenance.get('real_steps', 0):,}.",
    ]
    if "command" in provenance:
        lines.append(f"- Made by `{provenance['command']}`.")
    lines += [f"- {note}" for note in provenance.get("notes", [])]
    if curve := provenance.get("curve"):
        lines += [
            "",
            "## Real return against real steps",
            "",
            "Each round's policy was trained from scratch in that round's dream alone. Intervals "
            "are 95% bootstrap intervals of the mean; evaluation frames were never learned from.",
            "",
            "| round | real frames | evaluation frames | in its dream | on the real env |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {r['round']} | {r['real_steps']:,} | {r['evaluation_steps']:,} "
            f"| {_interval(r['dream_return'])} | {_interval(r['real_return'])} |"
            for r in curve
        ]
    return "\n".join(lines) + "\n"


def _interval(figure: dict[str, Any]) -> str:
    return f"{figure['mean']:.0f} [{figure['low']:.0f}, {figure['high']:.0f}]"
