"""The doors of the control queue: the chord's callback, its errback and the schedule lead to `advance`.

One door beside it leads to the rescue of dead workers' chunks alone.
"""

import contextlib
import logging

import psycopg

from config.celery_app import app
from config.settings import Settings
from orchestrator import advance as advancing
from orchestrator import rescue
from reembed.database import connection, indexes, ledger, overview
from workers import logs

_log = logging.getLogger(__name__)

STEP_FAILED = "the next step failed and is tried again"


@app.task(name="reembed.advance")
def advance(migration_id: int) -> str:
    """One migration takes its next steps; where it stands then, for a person to read."""
    return _advance(migration_id)


@app.task(name="reembed.advance_all")
def advance_all() -> str:
    """Every migration that is under way takes its next steps; where they stand then."""
    with connection.connect(Settings.load().direct_database, "schedule") as database:
        active = overview.active(database)
    return "; ".join(map(_advance, active)) or "nothing is under way"


@app.task(name="reembed.rescue_all")
def rescue_all() -> str:
    """The chunks of dead workers are for others, of every migration that is under way; how many they were."""
    environment = Settings.load()
    try:
        with connection.connect(environment.direct_database, "rescue") as database:
            rescued = rescue.rescue_all(database, environment)
    except Exception as error:
        # The schedule comes again
        logs.failure(_log, "rescue_failed", error)
        return "the rescue failed and is tried again"
    return f"{rescued} chunks rescued"


def _advance(migration_id: int) -> str:
    environment = Settings.load()
    # A session of its own: it locks the migration for as long as it advances it, and an index is built in it
    with connection.connect(environment.direct_database, "control") as database:
        try:
            # A role's statement_timeout is meant for queries, not for scans and indexes
            indexes.take_time(database)
            advancing.advance(database, environment, migration_id)
            state = _forget(database, migration_id)
        except Exception as error:
            # The schedule comes again; the ledger has all that was done
            logs.failure(_log, "advance_failed", error, migration=migration_id)
            with contextlib.suppress(psycopg.Error):
                reason = f"{STEP_FAILED}: {connection.in_one_line(error)}"
                ledger.set_reason(database, migration_id, reason)
            state = STEP_FAILED
    return f"migration {migration_id}: {state}"


def _forget(database: connection.Connection, migration_id: int) -> str:
    """A step that failed before has succeeded; the state that it led to."""
    migration = ledger.get(database, migration_id)
    if (migration.reason or "").startswith(STEP_FAILED):
        ledger.set_reason(database, migration_id, None)
    return migration.state
