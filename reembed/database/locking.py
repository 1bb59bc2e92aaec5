"""DDL never queues behind a lock.

A statement that waits for a lock on the user's table makes everybody who comes later wait behind it. So each try
waits two seconds at the most, and then lets the others pass before the next.
"""

from collections.abc import Callable

import tenacity
from psycopg import errors as pg

from reembed import errors
from reembed.database.connection import Connection

_LOCK_TIMEOUT = "2s"
_TRIES = 60


class TableBusy(errors.ReembedError):
    """The table is locked by a long transaction: {tries} tries of {timeout} each did not get through.

    Find it with SELECT * FROM pg_stat_activity WHERE xact_start < now() - interval '1 minute', then try again.
    """


def change(connection: Connection, statements: Callable[[], None]) -> None:
    """Run `statements` in one short transaction, again and again until its locks are had at once.

    Raises TableBusy after about four minutes.
    """

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type((pg.LockNotAvailable, pg.DeadlockDetected)),
        wait=tenacity.wait_random(0.5, 3),
        stop=tenacity.stop_after_attempt(_TRIES),
        reraise=True,
    )
    def attempt() -> None:
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
            statements()

    try:
        attempt()
    except (pg.LockNotAvailable, pg.DeadlockDetected):
        raise TableBusy(tries=_TRIES, timeout=_LOCK_TIMEOUT) from None
