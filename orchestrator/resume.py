"""A person stops a backfill, lets it go on, or has what failed tried again."""

from orchestrator import dispatch
from reembed.database import chunks, documents, failures, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

BY_OPERATOR = "an operator paused it"


def pause(connection: Connection, migration: Migration) -> None:
    """Workers finish the batch in hand and take no other. Raises ledger.WrongState."""
    if migration.state != "backfilling" or not ledger.change_state(
        connection, migration, "paused", BY_OPERATOR
    ):
        raise ledger.wrong_state(ledger.get(connection, migration.id), "pause")


def resume(connection: Connection, migration: Migration) -> None:
    """Go on after a pause. Raises ledger.WrongState."""
    if migration.state != "paused" or not ledger.change_state(connection, migration, "backfilling"):
        raise ledger.wrong_state(ledger.get(connection, migration.id), "resume")
    chunks.hurry(connection, migration.id)
    dispatch.publish(connection, migration.id)


def retry(connection: Connection, migration: Migration) -> tuple[int, int]:
    """Failed chunks, now and with all their attempts; refused documents; stale and invalid vectors.

    Returns how many chunks and how many documents. A migration that failed goes on. Raises ledger.WrongState for one
    that is over, or paused.
    """
    if migration.state in ("planned", "paused", "cleaned", "aborted"):
        raise ledger.wrong_state(migration, "retry")
    rerun = chunks.rerun_failed(connection, migration.id, everything=True)
    released = failures.release(connection, migration)
    if migration.state not in ("backfilling", "failed"):
        # The end of a backfill does so anyway
        released += documents.mark_pending(connection, migration)
    if migration.state == "failed":
        unfinished = chunks.count(connection, migration.id).unfinished
        ledger.change_state(connection, migration, "backfilling" if unfinished else "indexing")
    dispatch.publish(connection, migration.id)
    return rerun, released
