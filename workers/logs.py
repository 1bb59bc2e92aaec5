"""Log lines: one an event, key=value, no text of a document."""

import logging
import traceback

from reembed.database import connection


def failure(log: logging.Logger, event: str, error: BaseException, **fields: object) -> None:
    """An error nobody foresaw, with its place in the code.

    Not by Logger.exception, which prints the whole error: PostgreSQL's details may quote the row that it was about.
    """
    words = " ".join(f"{name}={value}" for name, value in fields.items())
    place = "".join(traceback.format_tb(error.__traceback__))
    log.error("event=%s %s reason=%r\n%s", event, words, connection.in_one_line(error), place)
