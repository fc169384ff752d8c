from __future__ import annotations

from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dreamenv.audit.checks import run_checks
from dreamenv.audit.episodes import AuditConfig
from dreamenv.audit.page import render
from dreamenv.audit.plots import draw_open_loop, draw_reliability, draw_returns, draw_reward
from dreamenv.audit.report import AuditReport, RealSteps


def report_of(findings, name="Dream-Toy") -> AuditReport:
    verdict, checks = run_checks(findings)
    return AuditReport(
        dream=name,
        identity="0" * 64,
        policy="policy.zip",
        verdict=verdict,
        checks=checks,
        findings=findings,
        real_steps=RealSteps(policy=960, random=961, held_out="played"),
        horizon=40,
        settings=AuditConfig(),
        seeds={"policy": [1]},
        versions={"dreamenv": "0"},
        path=Path(),
    )


class Balance(HTMLParser):
    """Every tag that opens is closed, in order."""

    VOID = ("meta", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells.append(data)


def test_the_page_is_well_formed_and_says_what_was_found(flattering_findings):
    report = report_of(flattering_findings)
    picture = b"\x89PNG"
    page = render(report, {"returns": picture})
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    for words in (report.verdict.sentence, *(c.measured for c in report.checks)):
        assert words in parser.cells
    assert parser.cells.count("✗ failed") == sum(c.passed is False for c in report.checks)
    assert f'src="data:image/png;base64,{b64encode(picture).decode()}"' in page
    c = flattering_findings.termination.calibration
    assert str(c.auroc) in page


def test_a_stranger_s_name_is_text_and_no_tag(findings):
    page = render(report_of(findings, name="<script>alert(1)</script>"), {})
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_figures_show_the_figures(findings):
    returns = draw_returns(findings.policy, findings.random, trained=True)
    assert len(returns.axes) == 4
    assert len(draw_returns(findings.policy, findings.random, trained=False).axes) == 2
    drawn = [line.get_ydata().tolist() for line in draw_open_loop(findings.open_loop).axes[0].lines]
    for band in findings.open_loop.curves["latent"].values():
        assert band.value.tolist() in drawn
    left = draw_reward(findings.reward).axes[0]
    points = sum(len(c.get_offsets()) for c in left.collections)
    assert points == len(findings.reward.episodes)
    curve = findings.termination.calibration.reliability
    x = draw_reliability(findings.termination.calibration).axes[0].lines[0].get_xdata()
    assert list(x) == pytest.approx(list(curve.predicted))
