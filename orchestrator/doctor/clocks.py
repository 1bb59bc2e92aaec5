"""Clocks: this machine's, the database's and Redis's.

Leases, backoff and the quota go by one clock each, so that no difference harms them. But a tick of beat expires by the
clock of the control worker's machine (config/schedule.py): one that is ahead by CATCH_UP_EVERY_SECONDS takes none.
"""

import time
from collections.abc import Callable, Iterator

from config.settings import Settings
from orchestrator import dispatch
from orchestrator.doctor.finding import Finding
from reembed.database import queries
from reembed.database.connection import Connection

# Machines that keep their time differ by milliseconds
_TOLERATED_SECONDS = 2.0


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


def skew(before: float, theirs: float, after: float) -> float:
    """By how many seconds their clock is ahead, for certain: it was read somewhere between two looks at ours."""
    return max(theirs - after, 0.0) + min(theirs - before, 0.0)


def _compare(name: str, whose: str, read: Callable[[], float]) -> Iterator[Finding]:
    before = time.time()
    theirs = read()
    ahead = skew(before, theirs, time.time())
    if abs(ahead) > _TOLERATED_SECONDS:
        yield Finding(
            f"clock.{name}",
            "warning",
            f"The clock of {whose} is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's.",
            "Let all machines keep the time (NTP): where beat's and the control worker's differ by "
            "CATCH_UP_EVERY_SECONDS, no tick of the schedule is taken.",
        )
