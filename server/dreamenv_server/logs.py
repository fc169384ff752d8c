"""Logs: one event a line, as JSON for machines or as text for people."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

LOGGER = logging.getLogger("dreamenv_server")
FORMATS = ("json", "text")
LEVELS = ("debug", "info", "warning", "error")
LONGEST = 300
LONGEST_TRACEBACK = 8000
SESSION_CHARACTERS = 8
"""A session's name is also its key, so logs hold only its beginning."""


def say(
    event: str,
    *,
    level: int = logging.INFO,
    client: str | None = None,
    session: str | None = None,
    **fields: Any,
) -> None:
    """Log an event: a word or two joined by underscores, and what belongs to it.

    Fields are JSON scalars, and not called as a record's own attributes are (``name``, ``args``…).
    Strings may be a stranger's: they are cut, and escaped as they are written.
    """
    if not LOGGER.isEnabledFor(level):
        return
    found: dict[str, Any] = {}
    if client is not None:
        found["client"] = client
    if session is not None:
        found["session"] = session
    LOGGER.log(level, event, extra=found | fields)


def set_up(
    format: str = "text", level: str = "info", stream: TextIO | None = None
) -> logging.Handler:
    """Have this process log to a stream (standard error), libraries' warnings included.

    Args:
        format: "json" or "text".
        level: least that is logged of the server's own events.
        stream: another one.

    Returns:
        The handler, which is the root logger's from now on.

    Raises:
        ValueError: an unknown format or level.
    """
    if format not in FORMATS:
        raise ValueError(f"log-format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if level not in LEVELS:
        raise ValueError(f"log-level: expected one of {', '.join(LEVELS)}, got {level!r}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if format == "json" else TextLines())
    logging.getLogger().addHandler(handler)
    LOGGER.setLevel(level.upper())
    return handler


_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record has; anything else is a field of the event."""


def _facts(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    """What a record says, in order: time, level, event, the rest. Ours or a library's."""
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    facts: dict[str, Any] = {"time": time, "level": record.levelname.lower()}
    if record.name == LOGGER.name:
        facts["event"] = record.getMessage()
        facts |= {key: value for key, value in vars(record).items() if key not in _USUAL}
    else:
        facts |= {"event": "library", "logger": record.name, "message": record.getMessage()}
    if "session" in facts:
        facts["session"] = str(facts["session"])[:SESSION_CHARACTERS]
    facts = {key: _short(value, LONGEST) for key, value in facts.items()}
    if record.exc_info:
        facts["exception"] = _short(
            formatter.formatException(record.exc_info), LONGEST_TRACEBACK, end=True
        )
    return facts


def _short(value: Any, longest: int, *, end: bool = False) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    if len(text) <= longest:
        return text
    return "…" + text[-longest:] if end else text[:longest] + "…"


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_facts(record, self))


class TextLines(logging.Formatter):
    """Time, level, event, and fields as ``name=value``, escaped as in JSON."""

    def format(self, record: logging.LogRecord) -> str:
        facts = _facts(record, self)
        head = f"{facts.pop('time')} {facts.pop('level'):7} {facts.pop('event')}"
        traceback = facts.pop("exception", None)
        fields = "".join(f" {key}={_text(value)}" for key, value in facts.items())
        # A traceback may quote a stranger's string, but no control characters with it.
        lines = [] if traceback is None else traceback.splitlines()
        shown = ("".join(c if c.isprintable() else "?" for c in line) for line in lines)
        return "\n    ".join([head + fields, *shown])


def _text(value: Any) -> str:
    if isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value:
        return value
    return json.dumps(value)
