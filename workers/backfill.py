"""One chunk, from claim to done.

1. Claim the chunk: a lease, and an attempt number that fences every later write.
2. Work on it, batch by batch (loop.py).
3. A fault is charged to whom it belongs: a provider's or a configuration's pauses the migration with the reason, a
   passing one gives the chunk back for later, everything else is a strike against the chunk.
"""

import logging

import psycopg

from reembed import errors
from reembed.database import chunks, connection, ledger
from workers import logs, sides
from workers.loop import Loop
from workers.tools import Tools

_log = logging.getLogger(__name__)

# A chunk whose provider outlasted the patience of its worker is put off for this share of it
PUT_OFF_SHARE = 0.25
NO_OLD_MODEL = (
    "the old column is not kept fresh by this worker: its OLD_EMBED_MODEL is not the migration's old model"
)
OLD_MODEL_AWAY = "the old column is not kept fresh ({error}); unset OLD_EMBED_MODEL if its model is gone"


def embed_chunk(tools: Tools, migration_id: int, number: int) -> None:
    """Embed what is pending in one chunk. Raises nothing that the ledger can be told instead."""
    database, environment = tools.connection, tools.settings
    claim = chunks.claim(
        database, migration_id, number,
        owner=tools.owner, lease_seconds=environment.chunk_lease_seconds, max_strikes=environment.max_chunk_attempts,
    )  # fmt: skip
    if claim is None:
        _log.info("event=chunk_not_free migration=%s chunk=%s", migration_id, number)
        return
    migration = ledger.get(database, migration_id)
    model = sides.model(environment, migration, claim.side)
    if model is None:
        chunks.give_back(
            database, claim, waiting_for=NO_OLD_MODEL, retry_seconds=environment.rerun_failed_every_seconds
        )
        return
    try:
        if Loop(tools, migration, claim, model).run():
            chunks.finish(database, claim)
            # Whatever kept the migration waiting does not any more
            ledger.set_reason(database, migration_id, None)
            _log.info("event=chunk_done migration=%s chunk=%s", migration_id, number)
        else:
            chunks.give_back(database, claim)
            _log.info("event=chunk_given_back migration=%s chunk=%s", migration_id, number)
    except errors.LeaseLost as error:
        _log.warning("event=lease_lost reason=%r", str(error))
    except errors.Broken as error:
        stop_migration(tools, migration, claim, error)
    except errors.Transient as error:
        chunks.give_back(
            database, claim, waiting_for=str(error),
            retry_seconds=PUT_OFF_SHARE * environment.provider_patience_seconds,
        )  # fmt: skip
        _log.warning("event=chunk_put_off migration=%s chunk=%s reason=%r", migration_id, number, str(error))
    except psycopg.OperationalError as error:
        # The ledger cannot be told. The lease runs out, and the schedule gives the chunk to another worker
        _log.warning("event=database_lost migration=%s chunk=%s reason=%r", migration_id, number, str(error))
    except Exception as error:
        if ledger.get(database, migration_id).state == "aborted":
            _log.info("event=migration_aborted migration=%s chunk=%s", migration_id, number)
            return
        chunks.fail(
            database, claim, error=connection.in_one_line(error),
            max_strikes=environment.max_chunk_attempts, retry_seconds=environment.rerun_failed_every_seconds,
        )  # fmt: skip
        logs.failure(_log, "chunk_failed", error, migration=migration_id, chunk=number)


def stop_migration(
    tools: Tools, migration: ledger.Migration, claim: chunks.Claim, error: errors.Broken
) -> None:
    """No document and no chunk is to blame: pause the backfill with the reason until a person mends the cause."""
    database = tools.connection
    chunks.give_back(
        database, claim, waiting_for=str(error), retry_seconds=tools.settings.rerun_failed_every_seconds
    )
    current = ledger.get(database, migration.id)
    if current.state == "backfilling":
        ledger.change_state(database, current, "paused", str(error))
    elif current.state != "paused":
        # Catching up beside a finished backfill: the flag stays where it is, and the chunk is tried again later
        reason = OLD_MODEL_AWAY.format(error=error) if claim.side == "old" else str(error)
        ledger.set_reason(database, migration.id, reason)
    _log.error("event=migration_stopped migration=%s reason=%r", migration.id, str(error))
