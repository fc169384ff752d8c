"""The audit as a page for people: one file, figures inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from dreamenv.audit.bootstrap import Band
from dreamenv.audit.verdict import Thresholds

if TYPE_CHECKING:
    from dreamenv.audit.report import AuditReport
    from dreamenv.audit.returns import Comparison, ReturnReport
    from dreamenv.audit.termination import Calibration

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem;
         border-bottom: 1px solid #ddd; }
img { max-width: 100%; }
.verdict { font-size: 1.2rem; border-left: .4rem solid; padding: .4rem 1rem; }
.passed { color: #00664a; } .failed { color: #a33b00; } .unknown { color: #555; }
.note { color: #555; }
"""
MARKS = {
    True: ("passed", "✓ passed"),
    False: ("failed", "✗ failed"),
    None: ("unknown", "– cannot say"),
}


def render(report: AuditReport, pictures: Mapping[str, bytes]) -> str:
    """The page's HTML.

    Args:
        pictures: PNG files by name: ``returns``, ``parting``, ``reward``, ``open_loop``, and where
            there is something to show ``termination`` and ``frames``.
    """
    sections = [
        _head(report),
        _table(
            ["check", "", "measured", "threshold"],
            [
                [c.name, _mark(c.passed), escape(c.measured), escape(c.expected)]
                for c in report.checks
            ],
        ),
        "<h2>Returns and lengths</h2>",
        _returns(report),
        _picture("returns", pictures),
        f"<p>{escape(report.findings.parting.words)}</p>",
        _picture("parting", pictures),
        "<h2>Rewards on episodes the model never saw</h2>",
        _reward(report),
        _picture("reward", pictures),
        "<h2>Open loop</h2>",
        _open_loop(report),
        _picture("open_loop", pictures),
        "<h2>Endings</h2>",
        _termination(report),
        _picture("termination", pictures),
        "<h2>Frames</h2>" if "frames" in pictures else "",
        _picture("frames", pictures),
        "<h2>How this was measured</h2>",
        _method(report),
    ]
    title = escape(f"Audit of {report.dream}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def _head(report: AuditReport) -> str:
    good = {"honest": "passed", "undecided": "unknown"}.get(report.verdict.word, "failed")
    failed = [c.name for c in report.checks[1:] if c.passed is False]
    also = f"<p>Failed besides: {escape('; '.join(failed))}.</p>" if failed else ""
    return (
        f"<h1>Audit of {escape(report.dream)}</h1>\n"
        f'<p class="note">Policy: {escape(report.policy)}. Package {report.identity[:16]}.</p>\n'
        f'<p class="verdict {good}">{escape(report.verdict.sentence)}</p>\n{also}'
    )


def _returns(report: AuditReport) -> str:
    findings = report.findings
    rows = []
    named: list[tuple[str, ReturnReport]] = [("random", findings.random)]
    if findings.trained:
        named.insert(0, (report.policy, findings.policy))
    for name, one in named:
        rows += [
            _comparison(f"{name}: return", one.returns),
            _comparison(f"{name}: decisions an episode", one.lengths),
        ]
    pace, ceiling = findings.policy.pace, findings.policy.ceiling
    words = f"A dreamed decision pays {pace.dream:.4g}, a real one {pace.real:.4g}"
    if np.isfinite(pace.in_real_paces):
        words += f": the dream runs at {pace.in_real_paces:.2f} times the real pace"
    words += (
        f". Best {pace.window} decisions: {pace.dream_best:.4g} each in the dream (median over "
        f"episodes), {pace.real_best:.4g} in the best real episode of anyone. Real rewards lie in "
        f"[{ceiling.real_low:.4g}, {ceiling.real_high:.4g}]; {ceiling.share_above:.2%} of dreamed "
        f"ones are above. Best real return: {ceiling.best_real_return:.4g}."
    )
    header = ["", "dream", "real", "dream - real", "Kolmogorov–Smirnov"]
    return _table(header, rows) + f"<p>{escape(words)}</p>"


def _comparison(name: str, comparison: Comparison) -> list[str]:
    test = comparison.test
    return [
        escape(name),
        f"{comparison.dream.mean} ± {comparison.dream.std:.4g}",
        f"{comparison.real.mean} ± {comparison.real.std:.4g}",
        str(comparison.gap),
        f"D = {test.distance:.2f}, p = {test.p_value:.3g}",
    ]


def _reward(report: AuditReport) -> str:
    reward = report.findings.reward
    errors = {"fed real observations": reward.fed}
    errors |= {f"… {policy}": error for policy, error in reward.fed_by_policy.items()}
    errors["open loop"] = reward.open_loop
    rows = [[escape(n), str(e.bias), str(e.mae), str(e.correlation)] for n, e in errors.items()]
    words = (
        f"Over {reward.decisions:,} held-out decisions. Predicting their mean would err by "
        f"{reward.mean_mae:.4g}. Predicted - real return of an episode: {reward.return_bias}."
    )
    header = ["a decision's reward", "bias", "mean absolute error", "correlation"]
    return _table(header, rows) + f"<p>{escape(words)}</p>"


def _open_loop(report: AuditReport) -> str:
    open_loop = report.findings.open_loop
    steps = [k for k in (1, 5, 10, 20, 50) if k <= len(open_loop.steps)]

    def row(name: str, band: Band) -> list[str]:
        return [escape(name), *(str(band.at(k - 1)) for k in steps)]

    rows = []
    for name_of, curves in open_loop.curves.items():
        kind = name_of if open_loop.frames else name_of.replace("pixels", "observation")
        rows += [row(f"{kind}: {name}", band) for name, band in curves.items()]
        rows.append(row(f"{kind}: skill over constant", open_loop.skill[name_of]))
    words = (
        f"{open_loop.windows} windows of held-out episodes, dreamed under the recorded actions. "
        "Latent and features: squared error as a share of their variance over the held-out "
        "episodes. "
        + (
            "Pixels: mean squared error, pixels in [0, 1]"
            if open_loop.frames
            else "Observation: mean squared error, each number in its standard deviation over the "
            "held-out episodes"
        )
        + f"; the model's own reconstructions are off by {open_loop.reconstruction:.4g}."
    )
    return f"<p>{escape(words)}</p>" + _table(["error", *(f"k = {k}" for k in steps)], rows)


def _termination(report: AuditReport) -> str:
    termination, within = report.findings.termination, report.findings.within
    words = (
        f"{termination.words} Endings an episode, fed real observations: predicted "
        f"{termination.predicted}, real {termination.actual} (z = {termination.z:.2g})."
    )
    return _calibrated(words, "this decision ends it", termination.calibration) + _calibrated(
        f"{within.words} Foretold by {within.samples} dreams a moment, under the recorded actions.",
        f"it ends within {within.steps}",
        within.calibration,
    )


def _calibrated(words: str, event: str, c: Calibration | None) -> str:
    if c is None:
        return f"<p>{escape(words)}</p>"
    figures = [
        ["expected calibration error", str(c.ece)],
        ["AUROC", str(c.auroc)],
        ["Brier score", str(c.brier)],
        ["Brier skill over the base rate", str(c.skill)],
    ]
    return f"<p>{escape(words)}</p>" + _table([f"calibration of “{event}”", ""], figures)


def _method(report: AuditReport) -> str:
    s, t = report.settings, Thresholds()
    real = report.real_steps
    lines = [
        f"Real env: {s.episodes} fresh episodes "
        + (f"of the policy ({real.policy:,} steps) and {s.episodes} " if real.policy else "")
        + f"of random actions held for 1 to {s.hold} decisions ({real.random:,} steps), on seeds "
        "reserved for audits; none was trained on.",
        f"Held-out episodes: {real.held_out}.",
        f"Dream: {s.dream_episodes} episodes with the package's default knobs, begun where real "
        f"episodes begin and truncated after {report.horizon} decisions, as real ones are.",
        f"The trained policy acts by its {'mode' if s.deterministic else 'samples'}.",
        "Square brackets: 95% percentile bootstrap intervals, resampling whole episodes. "
        "Kolmogorov–Smirnov's p by permutation.",
        f"Open loop: the mean of {s.samples} dreams at temperature 1, up to {s.horizon} decisions. "
        f"Predicted rewards and endings: means of {s.fed_samples} sampled steps.",
        "Verdict: “exploited” if the dream pays more beyond chance and under "
        f"{t.exploited:.0%} of the gain over random is real, or if it pays what reality never "
        f"paid; “flattering” if it pays more by over {t.gap:.0%} of the gain.",
        f"Seed {s.seed}; " + ", ".join(f"{n} {v}" for n, v in report.versions.items()) + ".",
    ]
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _mark(passed: bool | None) -> str:
    kind, words = MARKS[passed]
    return f'<span class="{kind}">{words}</span>'


def _picture(name: str, pictures: Mapping[str, bytes]) -> str:
    if name not in pictures:
        return ""
    encoded = b64encode(pictures[name]).decode()
    return f'<img alt="{name.replace("_", " ")}" src="data:image/png;base64,{encoded}">'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML."""
    head = "".join(f"<th>{escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
