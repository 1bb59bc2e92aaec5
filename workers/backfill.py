"""One chunk, from claim to done.

1. Claim the chunk: a lease, and an attempt number that fences every later write.
2. Work on it, batch by batch (loop.py); before that as far as it goes by jobs (jobs/), where there are any.
3. A fault is charged to whom it belongs: a provider's or a configuration's pauses the migration with the reason, a
   passing one gives the chunk back for later, everything else is a strike against the chunk.
4. Say in a sentence what became of it: Flower shows that beside the task.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable

import psycopg

from reembed import errors
from reembed.database import chunks, faults, ledger, limits
from reembed.database.connection import Connection, in_one_line
from reembed.events import Event
from workers import logs, sides, tracing
from workers.attempt import Attempt
from workers.jobs import proceeding, waiting
from workers.loop import Loop
from workers.telling import TO_NOBODY, Telling
from workers.tools import Tools

_log = logging.getLogger(__name__)

# A chunk whose provider outlasted the patience of its worker is put off for this share of it
PUT_OFF_SHARE = 0.25

# How the sentence begins where a person should look
FAILED = "failed: "


def embed_chunk(tools: Tools, migration_id: int, number: int, telling: Telling = TO_NOBODY) -> str:
    """Embed what is pending in one chunk; what became of it. Raises nothing that the ledger can be told instead."""
    ask, environment = tools.database.call, tools.settings
    claim = ask(
        lambda connection: chunks.claim(
            connection, migration_id, number,
            owner=tools.owner, lease_seconds=environment.chunk_lease_seconds,
            max_strikes=environment.max_chunk_attempts,
        )
    )  # fmt: skip
    if claim is None:
        _log.info(Event("chunk_not_free", migration=migration_id, chunk=number))
        return "another worker has it, or nobody should"
    migration = ask(lambda connection: ledger.get(connection, migration_id))
    if claim.catch_up:
        # Planned after a scan that listed every document; another for each page would outlast the lease
        migration = dataclasses.replace(migration, listed=True)
    model = sides.model(environment, migration, claim.side)
    if model is None:
        return put_off(tools, claim, sides.NO_OLD_MODEL, environment.rerun_failed_every_seconds)
    attempt = Attempt(migration, claim, model)
    loop = Loop(tools, attempt, telling)
    with tracing.span("embed chunk", migration=migration_id, chunk=number, attempt=claim.attempt) as told:
        told["became"] = became = _run(
            tools, migration, loop, lambda: proceeding.proceed(tools, attempt, telling)
        )
    for left in loop.taking.left:
        _give_back(tools, left)
    with contextlib.suppress(psycopg.Error, errors.ReembedError):
        tools.tally.write(tools.database)
    return f"{became}; {loop.taking.close()}"


def _run(tools: Tools, migration: ledger.Migration, loop: Loop, by_jobs: Callable[[], int | None]) -> str:
    """First what goes by jobs, then the rest."""
    try:
        came = by_jobs()
        if came is not None:
            loop.taking.came(came)
            loop.run()
    except errors.LeaseLost as error:
        _log.warning(Event("lease_lost", migration=migration.id, chunk=loop.charged.number, reason=error))
        return str(error)
    except errors.Broken as error:
        return stop_migration(tools, migration, loop.charged, error)
    except waiting.Waiting as until:
        return wait(tools, loop.charged, until)
    except (errors.Transient, limits.BudgetReached) as error:
        seconds = PUT_OFF_SHARE * tools.settings.provider_patience_seconds
        return put_off(tools, loop.charged, str(error), seconds)
    except Exception as error:
        return _fault_of_the_database_or_ours(tools, migration, loop.charged, error)
    return "given back" if loop.taking.left else "done"


def _give_back(tools: Tools, claim: chunks.Claim) -> None:
    """For whoever is free next, without a strike. Where the database is away, the lease runs out instead."""
    with contextlib.suppress(psycopg.Error, errors.ReembedError):
        tools.database.call(lambda connection: chunks.give_back(connection, claim))
        _log.info(Event("chunk_given_back", migration=claim.migration_id, chunk=claim.number))


def put_off(tools: Tools, claim: chunks.Claim, reason: str, seconds: float) -> str:
    """Nobody is to blame: the chunk is tried again later, by whoever is free then, without a strike."""
    tools.database.call(
        lambda connection: chunks.give_back(connection, claim, waiting_for=reason, retry_seconds=seconds)
    )
    _log.warning(Event("chunk_put_off", migration=claim.migration_id, chunk=claim.number, reason=reason))
    return f"put off: {reason}"


def wait(tools: Tools, claim: chunks.Claim, until: waiting.Waiting) -> str:
    """The provider has the next word; somebody looks again later."""
    tools.database.call(
        lambda connection: chunks.give_back(
            connection, claim, waiting_for=str(until), retry_seconds=until.retry_after or 0.0
        )
    )
    _log.info(Event("chunk_waits", migration=claim.migration_id, chunk=claim.number, reason=until))
    return f"waits: {until}"


def stop_migration(
    tools: Tools, migration: ledger.Migration, claim: chunks.Claim, error: errors.Broken
) -> str:
    """No document and no chunk is to blame: pause the backfill with the reason until a person mends the cause."""
    put_off(tools, claim, str(error), tools.settings.rerun_failed_every_seconds)
    tools.database.call(lambda connection: _stop(connection, migration.id, claim.side, error))
    _log.error(Event("migration_stopped", migration=migration.id, chunk=claim.number, reason=error))
    return FAILED + str(error)


def _stop(connection: Connection, migration_id: int, side: ledger.Side, error: errors.Broken) -> None:
    current = ledger.get(connection, migration_id)
    if current.state == "backfilling":
        ledger.change_state(connection, current, "paused", str(error))
    elif current.state != "paused":
        # Catching up beside a finished backfill: the flag stays where it is, and the chunk is tried again later
        reason = sides.OLD_MODEL_AWAY.format(error=error) if side == "old" else str(error)
        ledger.set_reason(connection, migration_id, reason)


def _fault_of_the_database_or_ours(
    tools: Tools, migration: ledger.Migration, claim: chunks.Claim, error: Exception
) -> str:
    """What is left: a database that does not come back in time, a right that is missing, and what nobody foresaw."""
    where = {"migration": migration.id, "chunk": claim.number}
    if faults.passes(error):
        # Perhaps not even the ledger can be told. Then the lease runs out, and the schedule sees to the chunk
        _log.warning(Event("database_away", **where, reason=in_one_line(error)))
        with contextlib.suppress(psycopg.Error, errors.ReembedError):
            put_off(tools, claim, f"the database: {in_one_line(error)}", tools.settings.chunk_lease_seconds)
        return f"put off: the database: {in_one_line(error)}"
    state = tools.database.call(lambda connection: ledger.get(connection, migration.id)).state
    if state in ("aborted", "cleaned"):
        # Where it wrote is gone
        _log.info(Event("migration_over", **where, state=state))
        return f"the migration is {state}"
    if faults.is_forbidden(error):
        return stop_migration(tools, migration, claim, faults.DatabaseForbids(reason=in_one_line(error)))
    tools.database.call(
        lambda connection: chunks.fail(
            connection, claim, error=in_one_line(error),
            max_strikes=tools.settings.max_chunk_attempts, retry_seconds=tools.settings.rerun_failed_every_seconds,
        )
    )  # fmt: skip
    logs.failure(_log, "chunk_failed", error, **where)
    return FAILED + in_one_line(error)
