"""The governor: workers spare a database that has other things to do.

Each worker process looks at the server every few seconds, and times its own writes. While a standby lags, too many
sessions of others are at work, or a batch takes too long to write, it takes no new batch; what is in flight is
committed and the lease kept. It goes on at four fifths of the threshold, so that it does not flap around it.

A process that does not write does not learn that writing has become fast again. So while that is the reason, one batch
every few seconds is let through, and its time alone decides.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from config.settings import Settings
from reembed.database import queries
from reembed.database.connection import Connection

# Between two looks at the server: one small query for each worker process
_LOOK_SECONDS = 3.0
# Between two batches that try whether writing has become fast again
_PROBE_SECONDS = 5.0
# Of the threshold: where a process that was held goes on
_RELEASED_AT = 0.8
# Weight of the newest write in the moving average
_NEWEST = 0.2

_LAG = "the database: a standby is {value:.0f} s behind, over GOVERN_REPLICATION_LAG_SECONDS={limit:g}"
_SESSIONS = "the database: {value:.0f} sessions of others are at work, over GOVERN_ACTIVE_SESSIONS={limit:g}"
_WRITES = "the database: writing a batch takes {value:.0f} ms, over GOVERN_WRITE_MILLISECONDS={limit:g}"


@dataclass(frozen=True)
class Load:
    """What the database has to bear; or the most of it, where 0 is no limit."""

    replication_lag_seconds: float = 0.0
    active_sessions: int = 0
    write_milliseconds: float = 0.0


def over(load: Load, limits: Load, *, held: bool) -> str | None:
    """The first threshold that is exceeded, in words. Who is held already goes on at a lower one."""
    share = _RELEASED_AT if held else 1.0
    for value, limit, words in (
        (load.replication_lag_seconds, limits.replication_lag_seconds, _LAG),
        (load.active_sessions, limits.active_sessions, _SESSIONS),
        (load.write_milliseconds, limits.write_milliseconds, _WRITES),
    ):
        if limit and value > share * limit:
            return words.format(value=value, limit=limit)
    return None


class Lag:
    """How far the last standby is behind, in seconds.

    PostgreSQL's own replay_lag stands still with a standby that replays nothing. So a position is remembered, and how
    long nobody has come there.
    """

    def __init__(self) -> None:
        self._mark: tuple[int, float] | None = None

    def seconds(self, written: int, replayed: int | None, measured: float | None, now: float) -> float:
        """Positions in bytes of the log, of the server and of its last standby; None: it has none."""
        if replayed is None:
            self._mark = None
            return 0.0
        if self._mark is None or replayed >= self._mark[0]:
            self._mark = written, now
        return max(now - self._mark[1], measured or 0.0)


class Governor:
    """Of one worker process. Used by one thread."""

    def __init__(self, limits: Load, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lag = Lag()
        self._load = Load()
        self._held = False
        self._look_at = self._probe_at = 0.0

    @classmethod
    def of(cls, settings: Settings) -> "Governor":
        return cls(
            Load(
                settings.govern_replication_lag_seconds,
                settings.govern_active_sessions,
                settings.govern_write_milliseconds,
            )
        )

    def hold(self, connection: Connection) -> str | None:
        """Why no new batch should be taken now; None where one may."""
        if self._limits == Load():
            return None
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._look(connection, now)
        reason = over(self._load, self._limits, held=self._held)
        if reason is not None and not self._held:
            self._probe_at = now + _PROBE_SECONDS
        self._held = reason is not None
        server_alone = replace(self._load, write_milliseconds=0.0)
        if now >= self._probe_at and over(server_alone, self._limits, held=True) is None:
            self._probe_at = now + _PROBE_SECONDS
            return None
        return reason

    def wrote(self, seconds: float) -> None:
        """A batch of ours was written, and took so long."""
        newest = 1000 * seconds
        before = self._load.write_milliseconds
        # The time of one that was let through must not drown in those that led to the pause
        average = newest if self._held or not before else before + _NEWEST * (newest - before)
        self._load = replace(self._load, write_milliseconds=average)

    def _look(self, connection: Connection, now: float) -> None:
        seen = queries.one(connection, "server_load")
        self._load = replace(
            self._load,
            replication_lag_seconds=self._lag.seconds(
                seen["written"], seen["replayed"], seen["measured"], now
            ),
            active_sessions=seen["active_sessions"],
        )
