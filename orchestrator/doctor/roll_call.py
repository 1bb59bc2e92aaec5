"""The roll call: which processes answer over the broker. Celery's remote control, behind one function.

Workers say which queues they read; beat says that it is there, for as long as its schedule moves.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import kombu.exceptions
import redis

from config import celery_app

# Since the last answer. A process answers within milliseconds, whatever its children are at
_SECONDS = 1.0
# What Celery calls beat's node
_BEAT = "celerybeat@"


@dataclass(frozen=True)
class Present:
    """Names of processes."""

    workers: tuple[str, ...]
    """Those that embed chunks."""
    controls: tuple[str, ...]
    """Those that take migrations their next step."""
    beats: tuple[str, ...]


def call() -> Present:
    """Takes a second. The broker has to answer."""
    with ThreadPoolExecutor() as pool:
        # Beat answers the second question alone
        queues, pings = pool.map(_ask, ("active_queues", "ping"))
    readers = {name: {queue["name"] for queue in read} for name, read in queues.items()}
    return Present(
        workers=_reading(readers, celery_app.EMBED_QUEUE),
        controls=_reading(readers, celery_app.CONTROL_QUEUE),
        beats=tuple(sorted(name for name in pings if name.startswith(_BEAT))),
    )


def nobody_embeds() -> bool:
    """Whether no worker for chunks answers; False where the broker does not. Takes a second."""
    try:
        queues = _ask("active_queues")
    except (OSError, kombu.exceptions.KombuError, redis.RedisError):
        return False
    return not any(queue["name"] == celery_app.EMBED_QUEUE for read in queues.values() for queue in read)


def _reading(readers: dict[str, set[str]], queue: str) -> tuple[str, ...]:
    return tuple(sorted(name for name, queues in readers.items() if queue in queues))


def _ask(command: str) -> dict[str, Any]:
    """The answer of each process."""
    answers = celery_app.app.control.broadcast(command, reply=True, timeout=_SECONDS) or []
    return {name: answer for one in answers for name, answer in one.items()}
