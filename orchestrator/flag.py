"""The flag's life after the judgement: switch, roll back, clean up; and abort, for a migration that is given up."""

from config.settings import Settings
from orchestrator import gate, homecoming, over
from reembed import errors
from reembed.database import (
    building,
    catalog,
    columns,
    decisions,
    documents,
    flags,
    ledger,
    locking,
    storage,
    tuning,
    validations,
)
from reembed.database.connection import Connection
from reembed.database.ledger import Migration


class NotSwitched(errors.Refused):
    """Migration {migration} is {state}: the old column is the one in use, so it cannot {verb}.

    `reembed switch` comes first.
    """


class CanaryOut(errors.Refused):
    """Migration {migration} has a canary: {percent} % of the keys read the new column, so it cannot be aborted.

    `reembed rollback` comes first.
    """


class NoWayBack(errors.Refused):
    """Migration {migration} is {state}: the old column is gone, and there is no way back to it."""


class StillPending(errors.Refused):
    """{pending} documents still need a vector, so the old column stays.

    Workers embed them within seconds where they run; `reembed status` shows it.
    """


class TooLate(errors.Refused):
    """Migration {migration} is {state}, so it cannot be aborted.

    While it is switched, `reembed rollback` comes first; after cleanup only a new migration leads anywhere.
    """


def switch(
    connection: Connection, migration: Migration, settings: Settings, *, percent: int = 100, force: bool
) -> str | None:
    """Searches go to the new column within a second, or those for a part of the keys do.

    To lower the share, also from all of them, needs no judgement. Returns what was overridden by `force`.

    Raises gate.NotReady, gate.ChangedSince, ledger.WrongState; what `over` raises of one that needs no switch any more.
    """
    over.refuse_aborted(migration, "switch")
    over.refuse_cleaned(migration)
    over.refuse_switched(migration, percent)
    lowered = percent < (100 if migration.state == "switched" else migration.canary_percent)
    overridden = None if lowered else _pass(connection, migration, settings, force)
    with connection.transaction():
        # A canary ends with the switch
        state, canary = ("switched", 0) if percent == 100 else (_unswitched(connection, migration), percent)
        _change_flag(connection, migration, state, canary, "switch")
        decisions.record(connection, migration.id, "switch", percent=percent, forced=overridden)
    return overridden


def _pass(connection: Connection, migration: Migration, settings: Settings, force: bool) -> str | None:
    """Through the gate. Returns what stood against it."""
    try:
        gate.check(connection, migration, settings)
    except errors.Refused as refusal:
        if not force or migration.state not in ("ready", "needs_review"):
            raise
        return str(refusal).splitlines()[0]
    return None


def rollback(connection: Connection, migration: Migration) -> documents.OldPending:
    """Searches go back to the old column within a second; those of a canary do, too.

    Returns the documents that suffer from it. Raises NotSwitched, NoWayBack, over.NothingThere.
    """
    over.refuse_aborted(migration, "roll back")
    if migration.state in ("cleaning", "cleaned"):
        raise NoWayBack(migration=migration.id, state=migration.state)
    if migration.state != "switched" and not migration.canary_percent:
        raise NotSwitched(migration=migration.id, state=migration.state, verb="roll back")
    with connection.transaction():
        _change_flag(connection, migration, _unswitched(connection, migration), 0, "roll back")
        decisions.record(connection, migration.id, "rollback")
    return documents.count_old_pending(connection, migration)


def cleanup(
    connection: Connection,
    migration: Migration,
    wanted: tuning.Tuning = tuning.BY_SIZE,
    tell: homecoming.Tell = lambda line: None,
) -> None:
    """Drop the old column and give its name to the new one: from here on there is no way back.

    Raises what refuse_cleanup raises, and locking.TableBusy; nothing has changed then. With a companion it takes its
    time, and can be interrupted and taken up again: what homecoming.bring_home raises.
    """
    found = refuse_cleanup(connection, migration)
    if migration.table.companion:
        homecoming.bring_home(connection, migration, found, wanted, tell)
        return
    _prove(connection, migration, tell)

    def statements() -> None:
        # Who wrote while we waited for the lock is seen only under it
        documents.lock(connection, migration)
        refuse_pending(connection, migration)
        columns.contract(connection, migration, old_indexes=found)
        _change(connection, migration, "cleaned", "clean up")
        decisions.record(connection, migration.id, "cleanup")

    locking.change(connection, statements)


def refuse_cleanup(connection: Connection, migration: Migration) -> tuple[str, ...]:
    """The old column's indexes, if it may be dropped; none where it is gone already, and vectors are on their way home.

    Raises NotSwitched, StillPending, columns.ViewsInTheWay, over.CleanedAlready, over.NothingThere.
    """
    over.refuse_aborted(migration, "clean up")
    over.refuse_cleaned(migration)
    if migration.state == "cleaning":
        return ()
    if migration.state != "switched":
        raise NotSwitched(migration=migration.id, state=migration.state, verb="clean up")
    refuse_pending(connection, migration)
    columns.refuse_views(connection, migration)
    return catalog.indexes_on(connection, migration.table, migration.table.old)


def _prove(connection: Connection, migration: Migration, tell: homecoming.Tell) -> None:
    """That every vector is of its document's text, whatever happened to the triggers. Raises StillPending.

    Nobody looks afterwards. One scan, without a lock; what it finds is pending, and workers embed it.
    """
    tell("looks at every document once more")
    storage.watch(connection, migration)
    documents.mark_pending(connection, migration)
    refuse_pending(connection, migration)


def refuse_pending(connection: Connection, migration: Migration) -> None:
    """Raises StillPending."""
    if pending := documents.count_pending(connection, migration):
        raise StillPending(pending=f"{pending:,}")


def abort(connection: Connection, migration: Migration) -> None:
    """Drop what `start` added. Workers that are at it notice at their next write.

    Raises TooLate, CanaryOut, over.AbortedAlready, locking.TableBusy; nothing has changed then.
    """
    refuse_abort(migration)
    building.cancel(connection, migration.table)

    def statements() -> None:
        _change(connection, migration, "aborted", "abort")
        decisions.record(connection, migration.id, "abort")
        storage.remove(connection, migration)

    locking.change(connection, statements)


def refuse_abort(migration: Migration) -> None:
    """Raises TooLate, CanaryOut, over.AbortedAlready."""
    over.refuse_aborted(migration, "abort")
    if migration.canary_percent:
        raise CanaryOut(migration=migration.id, percent=migration.canary_percent)
    if migration.state in ("switched", "cleaning", "cleaned"):
        raise TooLate(migration=migration.id, state=migration.state)


def _change(connection: Connection, migration: Migration, to_state: str, verb: str) -> None:
    if not ledger.change_state(connection, migration, to_state):
        raise ledger.wrong_state(ledger.get(connection, migration.id), verb)


def _unswitched(connection: Connection, migration: Migration) -> str:
    """The state of a migration that not all searches depend on."""
    if migration.state != "switched":
        return migration.state
    validation = validations.last(connection, migration.id)
    return "ready" if validation is not None and validation["passed"] else "needs_review"


def _change_flag(
    connection: Connection, migration: Migration, to_state: str, to_percent: int, verb: str
) -> None:
    if not flags.change(connection, migration, to_state, to_percent):
        raise ledger.wrong_state(ledger.get(connection, migration.id), verb)
