"""What a log line of our processes looks like: LOG_FORMAT, for our own events and for Celery's messages alike."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from config.settings import LogFormat
from reembed import events

_WRITERS: dict[LogFormat, Callable[[Mapping[str, object]], str]] = {
    "logfmt": events.line,
    "json": lambda fields: json.dumps(fields, default=str, ensure_ascii=False),
}


# A line for each request, and more, at the level of what an operator wants to read
_TALKATIVE = ("httpx2", "httpcore2", "openai")


def put_in_order(logger: logging.Logger, log_format: LogFormat) -> None:
    """Whatever the logger's handlers write is written in this form from here on."""
    for handler in logger.handlers:
        handler.setFormatter(Formatter(log_format))
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def begin_early(log_format: LogFormat) -> None:
    """Before Celery makes a handler: warnings go the same way, which would be several lines otherwise."""
    logging.basicConfig(level=logging.WARNING)
    logging.captureWarnings(True)
    put_in_order(logging.getLogger(), log_format)


class Formatter(logging.Formatter):
    """One line a record, with a name in `event`: ours have their own, Celery's are `log`."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__()
        self._write = _WRITERS[log_format]

    def format(self, record: logging.LogRecord) -> str:
        """Raises nothing for any record."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, object] = {"time": when, "level": record.levelname.lower()}
        if isinstance(record.msg, events.Event):
            fields |= record.msg.fields
        else:
            fields |= {"event": "log", "message": record.getMessage()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return self._write(fields | {"logger": record.name, "process": record.processName})
