"""`cleanup` with a companion: the vectors come home into the documents table.

1. The point of no return, one short transaction (`cleaning`): the old column goes, and with it its index, so that from
   here on an UPDATE of a document is cheap. An empty column for the new vectors takes its name. Whatever changes in the
   companion is written home as well from now on.
2. Batch by batch, in short transactions, the vectors come home.
3. The index on them is built concurrently, under the name that the old one had.
4. One short transaction makes the column the searched one (`cleaned`) and drops the companion.

Searches read the companion until the very last step. Whoever is interrupted types `reembed cleanup` again: what is home
by then is passed over.
"""

import time
from collections.abc import Callable

import psycopg

from reembed import errors
from reembed.database import (
    chunks,
    columns,
    companion,
    decisions,
    documents,
    indexes,
    ledger,
    locking,
    queries,
    table,
)
from reembed.database.connection import Connection, first_line
from reembed.database.ledger import Migration
from reembed.database.tuning import Tuning

# Documents of one transaction: it holds their row locks, so it has to be short
BATCH = 1_000
# Workers embed what is written meanwhile; it is waited for as long, so that the last step leaves nothing pending
_PATIENCE_SECONDS = 60
# An application that never stops writing is waited for no longer than this many times
_TRIES = 10
_TELL_SECONDS = 5

Tell = Callable[[str], None]
"""Takes one line about what is being done."""


class CleanupUnderWay(errors.Refused):
    """Another process is cleaning up migration {migration} at this moment.

    `reembed status` shows when it is done.
    """


class NotAllHome(errors.ReembedError):
    """The old column is gone, but not every vector is home: {reason}.

    Searches are right meanwhile. `reembed cleanup` goes on from here.
    """


class ViewsOfCompanion(errors.ReembedError):
    """All vectors are home, but the table {companion} cannot be dropped: {views} read it.

    Point them at {column} of {table}, then `reembed cleanup` again.
    """


def bring_home(
    connection: Connection, migration: Migration, old_indexes: tuple[str, ...], wanted: Tuning, tell: Tell
) -> None:
    """From `switched`, or `cleaning` where it was interrupted, to `cleaned`.

    Raises CleanupUnderWay, locking.TableBusy; NotAllHome, ViewsOfCompanion from `cleaning` on.
    """
    if not queries.one(connection, "try_lock_cleanup", None, migration_id=migration.id)["locked"]:
        raise CleanupUnderWay(migration=migration.id)
    if migration.state == "switched":
        _make_room(connection, migration, old_indexes)
        migration = ledger.get(connection, migration.id)
    try:
        tell(f"{_move_all(connection, migration, tell):,} vectors came home")
        tell("builds the index")
        indexes.build_home(connection, migration, documents.count_all(connection, migration), wanted)
        # Whatever happened to the triggers: nobody looks afterwards
        tell("looks at every document once more")
        documents.mark_pending(connection, migration)
        _wait_for_workers(connection, migration)
        # The proof: a pass over all that finds nothing to do
        while _move_all(connection, migration, tell):
            pass
        for _ in range(_TRIES):
            _wait_for_workers(connection, migration)
            _refuse_views(connection, migration)
            if _finish(connection, migration):
                return
        raise NotAllHome(reason="new documents kept coming faster than their vectors")
    except psycopg.Error as error:
        raise NotAllHome(reason=first_line(error)) from None


def _make_room(connection: Connection, migration: Migration, old_indexes: tuple[str, ...]) -> None:
    target = migration.table

    def statements() -> None:
        companion.make_room(connection, migration)
        # Nothing that the old model makes may come into the column that has the old one's name now
        chunks.delete(connection, migration.id, "old")
        name = old_indexes[0] if old_indexes else table.derive(target.name, target.old, "idx")
        ledger.set_home_index(connection, migration.id, name)
        _change(connection, migration, "cleaning")
        decisions.record(connection, migration.id, "cleanup")

    locking.change(connection, statements)


def _move_all(connection: Connection, migration: Migration, tell: Tell) -> int:
    """One pass over the table; how many vectors came home in it."""
    after, moved, told_at = None, 0, time.monotonic()
    while ids := companion.move(connection, migration, after=after, limit=BATCH):
        after, moved = ids[-1], moved + len(ids)
        if time.monotonic() - told_at >= _TELL_SECONDS:
            told_at = time.monotonic()
            tell(f"{moved:,} vectors came home so far")
    return moved


def _wait_for_workers(connection: Connection, migration: Migration) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while pending := documents.count_pending(connection, migration):
        if time.monotonic() >= deadline:
            raise NotAllHome(reason=f"{pending:,} documents still need one, for which a worker has to run")
        time.sleep(0.2)


def _refuse_views(connection: Connection, migration: Migration) -> None:
    target = migration.table
    name = table.quoted(target.schema, target.vectors)
    if views := columns.views_of(connection, name, target.new):
        raise ViewsOfCompanion(
            companion=target.vectors, views=", ".join(views), column=target.old, table=target
        )


def _finish(connection: Connection, migration: Migration) -> bool:
    """False where somebody wrote while this waited for its lock; nothing has changed then."""
    pending = 0

    def statements() -> None:
        nonlocal pending
        documents.lock(connection, migration)
        pending = documents.count_pending(connection, migration)
        if pending:
            return
        companion.remove(connection, migration)
        _change(connection, migration, "cleaned")

    locking.change(connection, statements)
    return pending == 0


def _change(connection: Connection, migration: Migration, to_state: str) -> None:
    if not ledger.change_state(connection, migration, to_state):
        raise ledger.wrong_state(ledger.get(connection, migration.id), "clean up")
