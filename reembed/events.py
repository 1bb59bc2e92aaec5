"""Log lines: one an event, with a stable name and named fields; never a secret and never a document's text.

    log.info(Event("chunk_done", migration=1, chunk=7))

is written as `event=chunk_done migration=1 chunk=7`, whoever formats it; a formatter that wants the fields apart finds
them in `record.msg`.
"""

import json
import re
from collections.abc import Mapping

# A value that needs no quotes, as logfmt has it
_PLAIN = re.compile(r"[^\s\"'=]+")


class Event:
    """A message for `logging`: https://docs.python.org/3/howto/logging-cookbook.html#using-arbitrary-objects-as-messages."""

    def __init__(self, name: str, /, **fields: object) -> None:
        self.fields = {"event": name, **fields}

    def __str__(self) -> str:
        return line(self.fields)


def line(fields: Mapping[str, object]) -> str:
    """`key=value` pairs in one line; a value with blanks or quotes is quoted as in JSON."""
    return " ".join(f"{key}={_value(str(value))}" for key, value in fields.items())


def _value(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
