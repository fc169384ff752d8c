"""Logs: one event a line, whatever strangers put into it."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime

import pytest
from dreamenv_server.logs import LOGGER, say, set_up
from hypothesis import given
from hypothesis import strategies as st

SECRET = "abcdefgh-the-rest-is-secret"


@pytest.fixture
def logged(request):
    """A function that sets up a format and level, and returns the stream."""
    handlers, level = [], LOGGER.level

    def begin(format: str, level: str = "info") -> io.StringIO:
        stream = io.StringIO()
        handlers.append(set_up(format, level, stream))
        return stream

    yield begin
    for handler in handlers:
        logging.getLogger().removeHandler(handler)
    LOGGER.setLevel(level)


def test_a_line_of_json_says_when_what_who_and_the_rest(logged):
    stream = logged("json")
    say("session_opened", client="alice", session=SECRET, lanes=64, share=0.5, last=None)
    line = json.loads(stream.getvalue())
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "info",
        "event": "session_opened",
        "client": "alice",
        "session": "abcdefgh",
        "lanes": 64,
        "share": 0.5,
        "last": None,
    }


def test_a_line_of_text_says_the_same(logged):
    stream = logged("text")
    say("session_opened", client="alice", session=SECRET, lanes=64, why="a b")
    line = stream.getvalue().strip()
    assert line.endswith('info    session_opened client=alice session=abcdefgh lanes=64 why="a b"')


@pytest.mark.parametrize("format", ["json", "text"])
@given(text=st.text(st.characters(codec="utf-8"), max_size=2000))
def test_no_string_of_a_stranger_breaks_a_line_or_makes_it_long(format, text):
    from dreamenv_server.logs import JsonLines, TextLines

    record = logging.LogRecord("dreamenv_server", logging.INFO, "", 0, "opened", None, None)
    record.client = text
    line = (JsonLines() if format == "json" else TextLines()).format(record)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 100 + 6 * 2 * 301
    if format == "json" and len(text) <= 300:
        assert json.loads(line)["client"] == text


@pytest.mark.parametrize("format", ["json", "text"])
def test_an_exception_s_traceback_is_kept_and_escaped(logged, format):
    stream = logged(format)
    try:
        raise ValueError("\x1b[31mred\x00")
    except ValueError:
        LOGGER.exception("a call failed", extra={"session": SECRET})
    text = stream.getvalue()
    assert "test_logs.py" in text
    assert "\x1b" not in text
    if format == "json":
        line = json.loads(text)
        assert line["event"] == "a call failed"
        assert line["session"] == "abcdefgh"
        assert line["exception"].endswith("ValueError: \x1b[31mred\x00")


def test_libraries_warnings_are_logged_too_in_the_same_form(logged):
    stream = logged("json")
    logging.getLogger("grpc._cython").error("no %s", "luck")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["logger"], line["message"]) == (
        "library",
        "grpc._cython",
        "no luck",
    )


def test_levels(logged):
    stream = logged("json", "warning")
    say("opened")
    say("refused", level=logging.WARNING)
    assert json.loads(stream.getvalue())["event"] == "refused"


def test_an_unknown_format_or_level_is_refused():
    with pytest.raises(ValueError, match="log-format: expected one of json, text, got 'xml'"):
        set_up("xml")
    with pytest.raises(ValueError, match="log-level: expected one of debug, info"):
        set_up("text", "loud")
