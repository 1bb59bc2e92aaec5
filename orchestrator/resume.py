"""A person stops a backfill, lets it go on, or has what failed tried again."""

from orchestrator import dispatch
from orchestrator.validation import again
from reembed import errors
from reembed.database import chunks, documents, failures, ledger, limits, validations
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

BY_OPERATOR = "an operator paused it"


def pause(connection: Connection, migration: Migration) -> None:
    """Workers finish the batch in hand and take no other. Raises ledger.WrongState."""
    if migration.state != "backfilling" or not ledger.change_state(
        connection, migration, "paused", BY_OPERATOR
    ):
        raise ledger.wrong_state(ledger.get(connection, migration.id), "pause")


def resume(
    connection: Connection,
    migration: Migration,
    *,
    budget: limits.Budget | None = None,
    until: float | None = None,
) -> None:
    """Go on after a pause, within these limits; a budget may also be changed while there is one.

    Raises ledger.WrongState, limits.NoRoom, and what limits.set_limits raises.
    """
    has_budget = migration.budget_usd is not None
    if budget is None and has_budget and limits.room(connection, migration.id).budget_reached:
        raise limits.NoRoom(budget=f"{migration.budget_usd:,.2f}", migration=migration.id)
    with connection.transaction():
        limits.set_limits(connection, migration.id, budget=budget, until=until)
        if migration.state == "paused":
            moves = ledger.change_state(connection, migration, "backfilling")
        else:
            # Catching up stops for a budget as well
            moves = budget is not None and migration.state not in ("planned", "failed", "cleaned", "aborted")
        if not moves:
            raise ledger.wrong_state(ledger.get(connection, migration.id), "resume")
    chunks.hurry(connection, migration.id)
    dispatch.publish(connection, migration.id)


class NothingWrong(errors.Refused):
    """No document of migration {migration} was proved to have another vector than its own.

    `reembed validate` embeds some documents again, and says which.
    """


def retry(connection: Connection, migration: Migration, *, wrong: bool = False) -> tuple[int, int]:
    """Failed chunks and those that were put off, now and with all their attempts; refused documents; unusable vectors.

    With `wrong` also the chunks of documents that the newest judgement proved to have another vector. Returns how many
    chunks and how many documents. A migration that failed goes on. Raises NothingWrong, and ledger.WrongState for one
    that is over, or paused.
    """
    if migration.state in ("planned", "paused", "cleaned", "aborted"):
        raise ledger.wrong_state(migration, "retry")
    proved = _proved_wrong(connection, migration) if wrong else []
    rerun = chunks.rerun_failed(connection, migration.id, everything=True)
    # Beside a finished backfill a fault of the provider's puts off, and pauses nothing that one could resume
    chunks.hurry(connection, migration.id)
    released = failures.release(connection, migration)
    if migration.state not in ("backfilling", "failed"):
        # The end of a backfill does so anyway
        released += documents.mark_pending(connection, migration)
        released += documents.mark_wrong(connection, migration, proved) if proved else 0
    if migration.state == "failed":
        unfinished = chunks.count(connection, migration.id).unfinished
        ledger.change_state(connection, migration, "backfilling" if unfinished else "indexing")
    dispatch.publish(connection, migration.id)
    return rerun, released


def _proved_wrong(connection: Connection, migration: Migration) -> list[str]:
    """Keys, as text. Raises NothingWrong."""
    judged = validations.last(connection, migration.id)
    found = judged["report"]["findings"] if judged else []
    ids = [key for one in found if one["id"] == again.NOT_THE_MODEL for key in one["documents"]]
    if not ids:
        raise NothingWrong(migration=migration.id)
    return ids
