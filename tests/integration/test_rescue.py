"""Chunks of dead workers between two looks of the schedule at everything."""

import pytest

from config.settings import Settings
from orchestrator import dispatch, rescue
from reembed.database import chunks, connection, ledger, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

pytestmark = pytest.mark.usefixtures("broker")


def lose(database: Connection, migration: Migration, number: int) -> None:
    """A worker takes the chunk and dies, a lease ago."""
    assert chunks.claim(database, migration.id, number, owner="dead", lease_seconds=-1, max_strikes=5)


def states(database: Connection) -> list[str]:
    return [state for (state,) in database.execute("SELECT state FROM reembed.chunks ORDER BY number")]


def test_a_lapsed_chunk_is_published_again_while_another_process_advances_the_migration(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    dispatch.publish(database, migration.id)
    lose(database, migration, 2)
    with connection.connect(settings.database, "at an index for hours") as another:
        assert queries.one(another, "try_lock_migration", None, migration_id=migration.id)["locked"]
        assert rescue.rescue_all(database, settings) == 1
    assert states(database) == ["pending"] * 3
    assert dispatch.queue_length() == 3 + 1
    # And once
    assert rescue.rescue_all(database, settings) == 0
    assert dispatch.queue_length() == 3 + 1


def test_nothing_is_published_where_no_lease_has_lapsed(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    assert chunks.claim(database, migration.id, 1, owner="alive", lease_seconds=60, max_strikes=5)
    assert rescue.rescue_all(database, settings) == 0
    assert (states(database), dispatch.queue_length()) == (["running", "pending", "pending"], 0)


def test_a_paused_migration_is_left_alone(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    lose(database, migration, 1)
    ledger.change_state(database, migration, "paused")
    assert rescue.rescue_all(database, settings) == 0
    assert (states(database)[0], dispatch.queue_length()) == ("running", 0)
