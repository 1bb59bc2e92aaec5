"""Log lines: one an event, readable by a person and by a machine; and every event that is logged is documented."""

import ast
import json
import logging
import re
import sys

import pytest

from config.logs import Formatter
from orchestrator.embedded.process import CHECKOUT
from reembed.events import Event
from workers import logs


def record(message: object, *, exc_info: bool = False) -> logging.LogRecord:
    return logging.LogRecord(
        "workers.loop", logging.WARNING, "loop.py", 1, message, None, sys.exc_info() if exc_info else None
    )


def events_in_the_code() -> set[str]:
    found = set()
    for room in ("reembed", "config", "workers", "orchestrator"):
        for path in (CHECKOUT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    found |= {name.value for name in _named(node) if isinstance(name, ast.Constant)}
    return {name for name in found if isinstance(name, str)}


def _named(call: ast.Call) -> list[ast.expr]:
    """Where a call that logs has the event's name; threading's Event has none."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = {"Event": 0, "failure": 1}.get(function)
    return [] if place is None else call.args[place : place + 1]


def test_an_event_reads_as_key_and_value_wherever_it_is_logged() -> None:
    assert str(Event("chunk_done", migration=1, chunk=7)) == "event=chunk_done migration=1 chunk=7"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"), ("two words", '"two words"'), ('a "quote"', r'"a \"quote\""'), ("a=b", '"a=b"'),
        ("two\nlines", r'"two\nlines"'), ("", '""'), ("größer", "größer"), (None, "None"),
    ],
)  # fmt: skip
def test_a_value_is_quoted_where_it_has_to_be_and_never_breaks_the_line(value: object, written: str) -> None:
    assert str(Event("e", reason=value)) == f"event=e reason={written}"


def test_json_has_the_fields_apart_in_one_line() -> None:
    line = Formatter("json").format(
        record(Event("chunk_put_off", migration=3, chunk=12, reason="two\nlines"))
    )
    assert "\n" not in line
    written = json.loads(line)
    assert written.pop("time").endswith("+00:00")
    assert written == {
        "level": "warning", "event": "chunk_put_off", "migration": 3, "chunk": 12, "reason": "two\nlines",
        "logger": "workers.loop", "process": "MainProcess",
    }  # fmt: skip


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_what_others_log_is_an_event_too_in_one_line_with_its_traceback(log_format: str) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        line = Formatter(log_format).format(record("Task %s received", exc_info=True))  # type: ignore[arg-type]
    assert "\n" not in line
    assert "Task %s received" in line
    assert "ValueError: broken" in line


def test_an_unforeseen_error_is_one_line_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    try:
        json.loads("{")
    except ValueError as error:
        logs.failure(logging.getLogger("test"), "chunk_failed", error, migration=1, chunk=2)
    (line,) = caplog.messages
    assert line.startswith("event=chunk_failed migration=1 chunk=2 reason=")
    assert re.search(r'place="\S+decoder.py:\d+ raw_decode < .*test_logs.py:\d+ test_an', line)
    assert "\n" not in line


def test_every_event_is_documented_and_no_other() -> None:
    operations = (CHECKOUT / "docs" / "operations.md").read_text()
    table = operations.split("## The logs are to be read by a machine")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    # What nobody sees unless they ask for debugging
    assert events_in_the_code() - {"shadow_failed", "progress_untold"} == documented - {"log"}
