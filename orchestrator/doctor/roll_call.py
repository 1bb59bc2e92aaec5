"""The roll call: which processes answer over the broker. Celery's remote control, behind one function.

Workers say which queues they read; beat says that it is there, for as long as its schedule moves; both say what time it
is.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import kombu.exceptions
import redis

from config import celery_app, clock

# Since the last answer. A process answers within milliseconds, whatever its children are at
_SECONDS = 1.0
# What Celery calls beat's node
_BEAT = "celerybeat@"


@dataclass(frozen=True)
class Clock:
    """What a process said of the time, and when it was asked and had answered by ours: seconds since 1970."""

    asked: float
    theirs: float
    answered: float


@dataclass(frozen=True)
class Present:
    """Names of processes."""

    workers: tuple[str, ...]
    """Those that embed chunks."""
    controls: tuple[str, ...]
    """Those that take migrations their next step."""
    beats: tuple[str, ...]
    clocks: Mapping[str, Clock]
    """By the name of the process; without those that do not know the question."""


def call() -> Present:
    """Takes a second. The broker has to answer."""
    clocks: dict[str, Clock] = {}

    def note(answer: dict[str, Any]) -> None:
        answered = time.time()
        clocks.update(
            (name, Clock(asked, said["seconds"], answered))
            for name, said in answer.items()
            if "seconds" in said
        )

    with ThreadPoolExecutor() as pool:
        # Beat does not answer the first question
        asking = pool.map(_ask, ("active_queues", "ping"))
        asked = time.time()
        _ask(clock.QUESTION, note)
        queues, pings = asking
    readers = {name: {queue["name"] for queue in read} for name, read in queues.items()}
    return Present(
        workers=_reading(readers, celery_app.EMBED_QUEUE),
        controls=_reading(readers, celery_app.CONTROL_QUEUE),
        beats=tuple(sorted(name for name in pings if name.startswith(_BEAT))),
        clocks=clocks,
    )


class _Somebody(Exception):
    """Whoever else may answer does not matter."""


def nobody_embeds() -> bool:
    """Whether no worker for chunks answers; False where the broker does not. Takes a second, unless one answers."""

    def note(answer: dict[str, Any]) -> None:
        if any(queue["name"] == celery_app.EMBED_QUEUE for read in answer.values() for queue in read):
            raise _Somebody

    try:
        _ask("active_queues", note)
    except (_Somebody, OSError, kombu.exceptions.KombuError, redis.RedisError):
        return False
    return True


def _reading(readers: dict[str, set[str]], queue: str) -> tuple[str, ...]:
    return tuple(sorted(name for name, queues in readers.items() if queue in queues))


def _ask(command: str, heard: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """The answer of each process; `heard` gets each as it comes."""
    answers = celery_app.app.control.broadcast(command, reply=True, timeout=_SECONDS, callback=heard) or []
    return {name: answer for one in answers for name, answer in one.items()}
