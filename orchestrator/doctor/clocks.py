"""Clocks: beat's and the control worker's; this machine's, the database's and Redis's.

Leases, backoff and the quota go by one clock each, so that no difference harms them. But beat says by its clock when a
tick expires, and the control worker looks at its own (config/schedule.py): one that is ahead of beat by
CATCH_UP_EVERY_SECONDS takes none. Where the others differ, some machine does not keep the time.
"""

import itertools
import time
from collections.abc import Callable, Iterator

from config.settings import Settings
from orchestrator import dispatch
from orchestrator.doctor.finding import Finding
from orchestrator.doctor.roll_call import Clock, Present
from reembed.database import queries
from reembed.database.connection import Connection

# Machines that keep their time differ by milliseconds
_TOLERATED_SECONDS = 2.0
_HINT = (
    "Let all machines keep the time (NTP): where beat's is behind the control worker's by CATCH_UP_EVERY_SECONDS, no "
    "tick of the schedule is taken."
)


def database(connection: Connection) -> Iterator[Finding]:
    yield from _compare(
        "database", "the database", lambda: float(queries.one(connection, "clock")["seconds"])
    )


def backend(settings: Settings) -> Iterator[Finding]:
    """Raises redis.RedisError, OSError."""
    with dispatch.backend(settings.result_backend) as client:

        def read() -> float:
            seconds, microseconds = client.time()
            return float(seconds + microseconds / 1e6)

        yield from _compare("backend", "Redis", read)


def schedule(present: Present) -> Iterator[Finding]:
    """Beat's and the control worker's. Of several the two that differ most."""
    differ = [
        (between(present.clocks[beat], present.clocks[control]), beat, control)
        for beat, control in itertools.product(present.beats, present.controls)
        if {beat, control} <= set(present.clocks)
    ]
    ahead, beat, control = max(differ, key=lambda one: abs(one[0]), default=(0.0, "", ""))
    if abs(ahead) > _TOLERATED_SECONDS:
        what = f"The clock of beat ({beat}) is {_apart(ahead)} the control worker's ({control})."
        yield Finding("clock.schedule", "warning", what, _HINT)


def skew(before: float, theirs: float, after: float) -> float:
    """By how many seconds their clock is ahead, for certain: it was read somewhere between two looks at ours."""
    return _certain(theirs - after, theirs - before)


def between(one: Clock, other: Clock) -> float:
    """By how many seconds one is ahead of the other, for certain: each was read between two looks at ours."""
    least = (one.theirs - one.answered) - (other.theirs - other.asked)
    most = (one.theirs - one.asked) - (other.theirs - other.answered)
    return _certain(least, most)


def _certain(least: float, most: float) -> float:
    return max(least, 0.0) + min(most, 0.0)


def _apart(seconds: float) -> str:
    return f"{abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'}"


def _compare(name: str, whose: str, read: Callable[[], float]) -> Iterator[Finding]:
    before = time.time()
    theirs = read()
    ahead = skew(before, theirs, time.time())
    if abs(ahead) > _TOLERATED_SECONDS:
        yield Finding(
            f"clock.{name}",
            "warning",
            f"The clock of {whose} is {_apart(ahead)} this machine's.",
            _HINT,
        )
