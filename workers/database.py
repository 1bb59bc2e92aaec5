"""The worker's connection to the database, and its patience with it.

An answer of the provider that cannot be committed at once is paid for already. So whatever a worker asks of the
database is asked again while the fault may pass, on a new connection where the old one is gone: a restart of the server
costs time, and no vector. The attempt number that every write carries makes that safe: whoever lost the chunk meanwhile
writes nothing.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import TypeVar

import tenacity
from psycopg import errors as pg

from reembed.database import connection, faults
from reembed.events import Event
from workers import drain

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Seconds. A wait is drawn between 0 and a bound that doubles from the first to the longest
_FIRST_BACKOFF = 0.1
_LONGEST_BACKOFF = 2.0
_LOCK_TIMEOUT = "5s"


class Database:
    def __init__(self, url: str, patience_seconds: float, *, pooled: bool = False) -> None:
        """`pooled`: each transaction may meet another session of the server."""
        self._url = url
        self._pooled = pooled
        self._patience_seconds = patience_seconds
        self._connection: connection.Connection | None = None

    def call(self, function: Callable[[connection.Connection], Result]) -> Result:
        """What the function returns at last, given a connection.

        Raises what does not pass at once, and what passes after `patience_seconds`, or as soon as this worker is
        asked to leave. The function may be run again after a run that was committed and that nobody was told of.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(faults.passes),
            wait=tenacity.wait_random_exponential(_FIRST_BACKOFF, _LONGEST_BACKOFF),
            stop=self._enough,
            before_sleep=self._tell,
            reraise=True,
        )
        return retrying(lambda: self._run(function))

    def once(self, function: Callable[[connection.Connection], Result]) -> Result:
        """The same without another try, for what must not be done twice."""
        return self._run(function)

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()

    def _run(self, function: Callable[[connection.Connection], Result]) -> Result:
        if not self._pooled:
            return function(self._connected())
        # What a session is told, the next transaction may not find; so each is told
        with self._connected().transaction():
            self._limit_locks(is_local=True)
            return function(self._connected())

    def _enough(self, state: tenacity.RetryCallState) -> bool:
        return drain.requested() or (state.seconds_since_start or 0.0) >= self._patience_seconds

    def _tell(self, state: tenacity.RetryCallState) -> None:
        fault = state.outcome.exception() if state.outcome else None
        reason = connection.in_one_line(fault) if fault else ""
        _log.warning(Event("database_fault", attempt=state.attempt_number, reason=reason))
        if isinstance(fault, pg.ReadOnlySqlTransaction):
            # A session stays what it was when it began; after a failover the next one may be elsewhere
            self.close()

    def _connected(self) -> connection.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connection.connect(self._url, "worker", pooled=self._pooled)
            if not self._pooled:
                self._limit_locks(is_local=False)
        return self._connection

    def _limit_locks(self, *, is_local: bool) -> None:
        """A row that the application holds must not hold the worker, its lease and the ledger: look up, try again."""
        self._connected().execute("SELECT set_config('lock_timeout', %s, %s)", [_LOCK_TIMEOUT, is_local])
