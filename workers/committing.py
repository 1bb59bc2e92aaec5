"""Committing an answer: what the database takes of it, and whose affair the rest is."""

import psycopg

from reembed.database import chunks, documents, faults, ledger
from workers.batches import Result
from workers.database import Database


def commit(
    database: Database,
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

    def write(wanted: Result) -> None:
        database.call(
            lambda connection: documents.write_batch(
                connection, migration, claim, wanted.embedded, wanted.vectors, wanted.refused,
                tokens=wanted.tokens, lease_seconds=lease_seconds,
            )
        )  # fmt: skip

    try:
        write(result)
    except psycopg.Error as error:
        if not faults.is_one_documents(error):
            raise
        if len(result.embedded) > 1:
            for half in result.halves():
                commit(database, migration, claim, half, lease_seconds=lease_seconds)
            return
        # The name of the rule, and not what PostgreSQL says: its words may quote the row
        rule = error.diag.constraint_name or error.sqlstate
        write(result.refused_for(f"The database refuses its vector ({type(error).__name__}: {rule})."))
