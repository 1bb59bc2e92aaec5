"""Committing an answer: what the database takes of it, and whose affair the rest is."""

import tenacity
from psycopg import errors as pg

from reembed.database import chunks, documents, ledger
from reembed.database.connection import Connection
from workers.batches import Result

_TRIES = 5


def commit(
    connection: Connection,
    migration: ledger.Migration,
    claim: chunks.Claim,
    result: Result,
    *,
    lease_seconds: float,
) -> None:
    """Commit what the database takes. A row that a constraint or a trigger refuses is that document's own affair.

    A refused statement is halved until the document stands alone; it is recorded, and its neighbours are written.
    Raises errors.LeaseLost.
    """
    try:
        _write(connection, migration, claim, result, lease_seconds)
    except (pg.IntegrityError, pg.DataError, pg.RaiseException) as error:
        if len(result.embedded) > 1:
            for half in result.halves():
                commit(connection, migration, claim, half, lease_seconds=lease_seconds)
            return
        # The name of the rule, and not what PostgreSQL says: its words may quote the row
        rule = error.diag.constraint_name or error.sqlstate
        reason = f"The database refuses its vector ({type(error).__name__}: {rule})."
        _write(connection, migration, claim, result.refused_for(reason), lease_seconds)


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(
        (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable)
    ),
    wait=tenacity.wait_random_exponential(0.1, 2),
    stop=tenacity.stop_after_attempt(_TRIES),
    reraise=True,
)
def _write(
    connection: Connection,
    migration: ledger.Migration,
    claim: chunks.Claim,
    result: Result,
    lease_seconds: float,
) -> None:
    """One statement, so it may be repeated as it is when PostgreSQL took the application's side in a deadlock."""
    documents.write_batch(
        connection, migration, claim, result.embedded, result.vectors, result.refused,
        tokens=result.tokens, too_long=result.too_long, lease_seconds=lease_seconds,
    )  # fmt: skip
