"""What happens while a command waits for its lock on the table: it is seen, and nothing is left half done."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import checks, flag, start
from orchestrator.embedded.stack import Stack
from reembed.database import connection, fitness, indexes, ledger, storage
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps


@pytest.fixture
def switched(database: Connection, settings: Settings, migration: Migration) -> Migration:
    steps.embed(settings, migration, 1, 2, 3)
    indexes.build_pending(database, migration)
    return steps.walk(database, migration, "indexing", "validating", "ready", "switched")


@pytest.fixture
def application(stack: Stack, database: Connection) -> Iterator[psycopg.Connection]:
    with psycopg.connect(stack.postgres.url(database.info.dbname)) as connected:
        yield connected


def test_cleanup_sees_what_was_written_while_it_waited_for_its_lock(
    stack: Stack, database: Connection, switched: Migration, application: psycopg.Connection
) -> None:
    # Given an application in the middle of a transaction that leaves two documents without their vector
    application.execute("UPDATE documents SET content = 'changed words' WHERE id = 7")
    application.execute("INSERT INTO documents (id, content) VALUES (1000, 'new words')")
    refused: list[Exception] = []

    def clean_up() -> None:
        with connection.connect(stack.postgres.url(database.info.dbname), "test") as operator:
            try:
                flag.cleanup(operator, switched)
            except flag.StillPending as error:
                refused.append(error)

    # When cleanup has looked, found nothing pending, and waits
    operator = threading.Thread(target=clean_up)
    operator.start()
    waiting = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"
    deadline = time.monotonic() + 60
    while database.execute(waiting).fetchone() == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    application.commit()
    operator.join(60)
    # Then it refuses, and the old column stays
    assert [str(error).split()[0] for error in refused] == ["2"]
    assert ledger.get(database, switched.id).state == "switched"
    assert database.execute("SELECT count(embedding) FROM documents").fetchone() == (12,)


def test_a_start_that_was_aborted_while_it_waited_leaves_nothing_behind(
    database: Connection, settings: Settings
) -> None:
    installation.make_table(database, sql.Identifier("documents"), installation.texts(12))
    planned = start.create(database, settings, checks.documents_table(database, settings))
    flag.abort(database, planned)
    with pytest.raises(ledger.WrongState, match=r"is aborted, so it cannot begin"):
        storage.expand(database, planned)
    assert "embedding_v2" not in checks.documents_table(database, settings).columns


def test_a_worker_that_finishes_does_not_erase_why_a_person_paused(
    database: Connection, migration: Migration
) -> None:
    ledger.change_state(database, migration, "paused", "an operator paused it")
    ledger.set_reason(database, migration.id, None)
    assert ledger.get(database, migration.id).reason == "an operator paused it"


def test_a_table_whose_rows_a_policy_hides_is_refused(database: Connection, settings: Settings) -> None:
    installation.make_table(database, sql.Identifier("documents"), installation.texts(12))
    role = sql.Identifier(f"seer_{database.info.dbname}")
    database.execute(sql.SQL("CREATE ROLE {}").format(role))
    database.execute(sql.SQL("ALTER TABLE documents OWNER TO {}").format(role))
    database.execute("ALTER TABLE documents ENABLE ROW LEVEL SECURITY")
    database.execute("ALTER TABLE documents FORCE ROW LEVEL SECURITY")
    database.execute(sql.SQL("SET ROLE {}").format(role))
    with pytest.raises(fitness.RowsHidden, match=r"hides rows of public.documents from this role"):
        checks.documents_table(database, settings)


def test_partitions_of_partitions_are_refused_before_anything_is_paid_for(
    database: Connection, settings: Settings
) -> None:
    database.execute(
        """
        CREATE TABLE documents (id bigint PRIMARY KEY, content text, embedding vector(32)) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF documents FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
        CREATE TABLE lowest PARTITION OF low FOR VALUES FROM (0) TO (10)
        """
    )
    with pytest.raises(fitness.NestedPartitions):
        checks.documents_table(database, settings)
