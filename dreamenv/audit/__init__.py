"""The gap report: a dream against the real env it was made from."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamenv.audit.gap import audit
    from dreamenv.audit.report import AuditReport

__all__ = ["AuditReport", "audit"]


def __getattr__(name: str) -> Any:
    # On demand: others use the bootstrap alone, which needs neither torch nor figures.
    if name == "audit":
        from dreamenv.audit.gap import audit

        return audit
    if name == "AuditReport":
        from dreamenv.audit.report import AuditReport

        return AuditReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
