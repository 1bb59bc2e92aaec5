"""The forecast of disk and log, against what a whole migration takes."""

import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import advice, checks, start
from orchestrator.doctor import forecast
from reembed.database import chunks, indexes, ledger
from reembed.database import storage as vector_storage
from reembed.database.connection import Connection
from tests import installation, steps
from tests.integration.conftest import BOTH_STORAGES

DOCUMENTS = 500
pytestmark = BOTH_STORAGES


def taken(database: Connection) -> tuple[int, int]:
    """Bytes of all tables and indexes in the schema of the documents, and of the log."""
    row = database.execute(
        "SELECT (SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')::bigint,"
        " (pg_current_wal_insert_lsn() - '0/0')::bigint"
    ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("dimensions", [64, 768])
def test_the_forecast_is_what_a_migration_takes(
    database: Connection, settings: Settings, storage: str, dimensions: int
) -> None:
    ours = settings.model_copy(update={"storage": storage, "embed_dimensions": dimensions})
    texts = [f"{text} {text * 15}" for text in installation.texts(DOCUMENTS)]
    installation.make_table(database, sql.Identifier("documents"), texts, indexed=False)
    # Nothing is swept meanwhile
    database.execute("ALTER TABLE documents SET (autovacuum_enabled = off)")
    database.execute("VACUUM (ANALYZE, FREEZE) documents")
    found = checks.documents_table(database, ours)
    expected = forecast.forecast(
        DOCUMENTS,
        advice.fill(database, found.table).row_bytes,
        dimensions,
        companion=storage == "companion",
        method="hnsw",
        m=16,
    )
    migration = start.create(database, ours, found)
    vector_storage.expand(database, migration)
    chunks.plan(database, migration)
    ledger.change_state(database, migration, "backfilling")
    disk, log = taken(database)
    steps.embed(ours, ledger.get(database, migration.id), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, concurrency=4)
    indexes.build(database, migration, DOCUMENTS)
    disk_after, log_after = taken(database)
    assert expected.disk == pytest.approx(disk_after - disk, rel=0.1)
    # When the last checkpoint was decides how many pages go into the log as a whole
    assert expected.log == pytest.approx(log_after - log, rel=0.5)
