"""Everything an audit measures."""

from __future__ import annotations

from dataclasses import dataclass

from dreamenv.audit.open_loop import OpenLoop
from dreamenv.audit.parting import Parting
from dreamenv.audit.returns import ReturnReport
from dreamenv.audit.reward import RewardReport
from dreamenv.audit.termination import TerminationReport
from dreamenv.audit.within import WithinReport


@dataclass(frozen=True)
class Findings:
    """The figures; what they mean is for :mod:`dreamenv.audit.checks` to say."""

    policy: ReturnReport
    """The audited policy, dreamed and real; the random one if there is no other."""
    random: ReturnReport
    """The random policy, dreamed and real."""
    trained: bool
    """Whether the audited policy is another than the random one."""
    ends: bool
    """Whether the dream ends episodes of itself (its termination is not ``"none"``)."""
    open_loop: OpenLoop
    parting: Parting
    reward: RewardReport
    termination: TerminationReport
    within: WithinReport
