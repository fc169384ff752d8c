"""The one error tree: every error that is the caller's to mend is a :class:`DreamenvError`.

Each says what was expected, what was found, and the fix. A missing extra is an ``ImportError``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

LONGEST_FOUND = 300


class DreamenvError(Exception):
    """Base of every error that dreamenv raises on purpose."""


class PackageError(DreamenvError, ValueError):
    """A dream package (a folder, or a name meant to find one) is missing, damaged or hostile."""

    @classmethod
    def at(cls, file: str | Path, field: str, *, expected: str, found: str, fix: str) -> Self:
        """An error that names the file, the field in it, what was expected and found, and the fix.

        ``found`` may hold a stranger's bytes: it is made printable and cut to a line's length.

        >>> print(PackageError.at("p/config.json", "latent", expected="1 or more", found="0",
        ...                       fix="Train again."))
        p/config.json: latent: expected 1 or more, found 0. Train again.
        """
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in found[:LONGEST_FOUND])
        dots = "…" if len(found) > LONGEST_FOUND else ""
        return cls(f"{file}: {field}: expected {expected}, found {shown}{dots}. {fix}")


class DataError(DreamenvError, ValueError):
    """Recorded rollouts are missing, damaged, or not what the model was made for."""


class PolicyError(DreamenvError, ValueError):
    """A policy file is missing, damaged, or not made for this env."""
