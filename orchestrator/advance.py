"""`advance`: one idempotent function that takes a migration as far as it can go now.

The chord's callback, its errback and the schedule call it, as often as they like. It reads the ledger and never what a
message says, one process at a time does it for a migration, and each change of state is a compare-and-set.

    backfilling   rescue dead workers' chunks, re-run failed ones, publish what is due;
                  when every chunk is done: index what is pending, catch up with what was written meanwhile, then
    indexing      build the index on the vectors, then
    validating    catch up once more (an index can take hours), judge, then
    ready, needs_review
                  catch up, as long as the migration stands; put the triggers back if somebody dropped them
    switched      catch up, also with the old column while its model answers
    cleaning      catch up, while `cleanup` brings the vectors home
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg

from config.settings import Settings
from orchestrator import dispatch
from orchestrator.validation import judge
from reembed.database import chunks, documents, indexes, ledger, limits, queries, storage
from reembed.database.connection import Connection, first_line
from reembed.database.ledger import Migration
from reembed.events import Event
from workers import logs, sides

_log = logging.getLogger(__name__)

# An application that never stops writing must not hold up the index or the judgement for ever
_ROUNDS = 3
# What is written beside so many unfinished chunks gets one of its own; beside more, once they are fewer. Each pending
# document is compared with each of their ranges, every few seconds
_BESIDE = 20


def advance(connection: Connection, settings: Settings, migration_id: int) -> None:
    """Take every step that can be taken now; return at once if another process is at it."""
    with _alone(connection, migration_id) as alone:
        while alone:
            migration = ledger.get(connection, migration_id)
            step = _STEPS.get(migration.state)
            if step is None or not step(connection, settings, migration):
                return


def _backfilling(connection: Connection, settings: Settings, migration: Migration) -> bool:
    if "new" in _settle(connection, settings, migration):
        return False
    counts = chunks.count(connection, migration.id)
    if counts.given_up:
        reason = f"{counts.given_up} chunks failed {settings.max_chunk_attempts} times: {counts.error}"
        ledger.change_state(connection, migration, "failed", reason)
        return False
    # The last batches may have been on their way together
    if migration.until_percent is not None and limits.far_enough(connection, migration.id):
        return False
    # Before anybody looks for pending documents: on a large table each look would be a scan, and each chunk of them
    # another, longer than a lease
    ledger.set_reason(connection, migration.id, "the index on pending documents")
    indexes.build_pending(connection, migration)
    ledger.set_reason(connection, migration.id, None)
    return _caught_up(connection, migration) and _change(connection, migration, "indexing")


def _indexing(connection: Connection, settings: Settings, migration: Migration) -> bool:
    try:
        rows = documents.count_all(connection, migration)
        indexes.build(connection, migration, rows, settings.index_tuning)
    except (pg.DeadlockDetected, pg.LockNotAvailable, pg.QueryCanceled):
        # Somebody's lock was in the way, or an abort
        raise
    except psycopg.Error as error:
        logs.failure(_log, "index_failed", error, migration=migration.id)
        ledger.change_state(
            connection, migration, "failed", f"the index cannot be built: {first_line(error)}"
        )
        return False
    return _change(connection, migration, "validating")


def _validating(connection: Connection, settings: Settings, migration: Migration) -> bool:
    if "new" in _settle(connection, settings, migration) or not _caught_up(connection, migration):
        return False
    verdict = judge.judge(connection, settings, migration)
    return _change(connection, migration, verdict.state)


def _standing(connection: Connection, settings: Settings, migration: Migration) -> bool:
    if migration.state != "cleaning" and storage.watch(connection, migration):
        # Somebody dropped or disabled them, who knows when: the scan finds what was written since
        found = documents.mark_pending(connection, migration)
        _log.warning(Event("triggers_put_back", migration=migration.id, documents=found))
    unfinished = _settle(connection, settings, migration)
    # One chunk that failed is put off for up to an hour and more: what it does not hold waits no longer for that
    if unfinished.get("new", 0) <= _BESIDE:
        _catch_up(connection, migration)
    # Whoever rolls back shall miss nothing that was written since the switch
    wanted = migration.state == "switched" and sides.model(settings, migration, "old") is not None
    if wanted and unfinished.get("old", 0) <= _BESIDE:
        _catch_up(connection, migration, "old")
    return False


_STEPS: dict[str, Callable[[Connection, Settings, Migration], bool]] = {
    "backfilling": _backfilling,
    "indexing": _indexing,
    "validating": _validating,
    "ready": _standing,
    "needs_review": _standing,
    "switched": _standing,
    "cleaning": _standing,
}


def _settle(connection: Connection, settings: Settings, migration: Migration) -> dict[ledger.Side, int]:
    """See to the chunks that there are; how many are unfinished, for each column that has any."""
    chunks.rescue(connection, migration.id, max_strikes=settings.max_chunk_attempts)
    chunks.rerun_failed(connection, migration.id, everything=False)
    unfinished = chunks.count_unfinished(connection, migration.id)
    if unfinished:
        dispatch.publish_lost(connection, migration.id)
        dispatch.publish(connection, migration.id)
    return unfinished


def _caught_up(connection: Connection, migration: Migration) -> bool:
    """Whether too little is pending to wait for; where it is not, chunks for it are on their way."""
    rounds = chunks.count_catch_ups(connection, migration.id)
    if rounds == 0:
        # The trigger sees to changed texts; the scan proves it, whatever happened to the trigger. Once in each state
        documents.mark_pending(connection, migration)
    # That scan has listed them all: an index of the companion alone finds what is pending
    migration = dataclasses.replace(migration, listed=True)
    pending = documents.count_pending(connection, migration)
    if rounds >= _ROUNDS:
        return pending <= chunks.tolerable(connection, migration.id) or not _catch_up(connection, migration)
    return not _catch_up(connection, migration)


def _catch_up(connection: Connection, migration: Migration, side: ledger.Side = "new") -> bool:
    """Plan and publish chunks for what is pending outside any; False where nothing is."""
    planned = chunks.plan_catch_up(connection, migration, side)
    if side == "new":
        chunks.mark_looked(connection, migration.id)
    if not planned:
        return False
    dispatch.publish(connection, migration.id)
    return True


def _change(connection: Connection, migration: Migration, to_state: str) -> bool:
    changed = ledger.change_state(connection, migration, to_state)
    if changed:
        _log.info(Event("state", migration=migration.id, before=migration.state, state=to_state))
    return changed


@contextmanager
def _alone(connection: Connection, migration_id: int) -> Iterator[bool]:
    """Whether this session is the only one to advance the migration, until the end of the block."""
    locked = bool(queries.one(connection, "try_lock_migration", None, migration_id=migration_id)["locked"])
    try:
        yield locked
    finally:
        if locked and not connection.closed:
            queries.run(connection, "unlock_migration", None, migration_id=migration_id)
