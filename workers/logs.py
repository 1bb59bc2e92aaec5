"""Errors that nobody foresaw, in one log line."""

import logging
import traceback

from reembed.database import connection
from reembed.events import Event


def failure(log: logging.Logger, event: str, error: BaseException, **fields: object) -> None:
    """An error nobody foresaw, with its place in the code, the innermost first.

    Not by Logger.exception, which prints the whole error: PostgreSQL's details may quote the row that it was about.
    """
    frames = reversed(traceback.extract_tb(error.__traceback__))
    place = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    log.error(Event(event, **fields, reason=connection.in_one_line(error), place=place))
