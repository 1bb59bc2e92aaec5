"""A table in a fresh database, and a migration of it that is under way."""

import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import checks, start
from reembed.database import chunks, columns, connection, ledger
from reembed.database.ledger import Migration
from tests import installation

DOCUMENTS = sql.Identifier("documents")


@pytest.fixture
def documents_table(database: connection.Connection) -> sql.Identifier:
    """Twelve documents with keys 7, 14, ..., 84."""
    installation.make_table(database, DOCUMENTS, installation.texts(12))
    return DOCUMENTS


@pytest.fixture
def planned(
    database: connection.Connection, settings: Settings, documents_table: sql.Identifier
) -> Migration:
    """A migration in chunks of five documents, expanded, in state `planned`."""
    found = checks.documents_table(database, settings)
    migration = start.create(database, settings.model_copy(update={"chunk_size": 5}), found)
    columns.expand(database, migration)
    return migration


@pytest.fixture
def migration(database: connection.Connection, planned: Migration) -> Migration:
    """The same in state `backfilling`, with its chunks."""
    chunks.plan(database, planned)
    ledger.change_state(database, planned, "backfilling")
    return ledger.get(database, planned.id)
