"""The companion: a table of their own for the new vectors, that costs the documents table nothing but triggers."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import psycopg
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import checks, flag, resume, start
from reembed.database import chunks, connection, documents, indexes, ledger
from reembed.database import storage as vector_storage
from reembed.database.chunks import Claim
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps
from tests.integration.test_old_column import catch_up

COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = 'documents'::regclass AND attnum > 0"

pytestmark = pytest.mark.usefixtures("nothing_published")


@pytest.fixture
def storage() -> str:
    return "companion"


@pytest.fixture
def claim(database: Connection, migration: Migration) -> Claim:
    """Of the first chunk: documents 7 to 35."""
    found = chunks.claim(database, migration.id, 1, owner="test", lease_seconds=30, max_strikes=3)
    assert found is not None
    return found


@pytest.fixture
def ready(database: Connection, settings: Settings, migration: Migration) -> Migration:
    steps.embed(settings, migration, 1, 2, 3)
    documents.mark_pending(database, migration)
    indexes.build_pending(database, migration)
    indexes.build(database, migration, 12)
    return steps.walk(database, migration, "indexing", "validating", "ready")


def companion(migration: Migration) -> sql.Identifier:
    assert migration.table.companion is not None
    return sql.Identifier(migration.table.companion)


def fresh(database: Connection, migration: Migration) -> set[int]:
    """Documents whose vector counts."""
    rows = database.execute(
        sql.SQL("SELECT id FROM {} WHERE embedding_v2_model IS NOT NULL").format(companion(migration))
    )
    return {row[0] for row in rows}


def write(database: Connection, migration: Migration, claim: Claim, found: list[documents.Document]) -> int:
    vectors = np.ones((len(found), 64), np.float32)
    return documents.write_batch(database, migration, claim, found, vectors, {}, tokens=1, lease_seconds=30)


@contextmanager
def another(database: Connection) -> Iterator[Connection]:
    with connection.connect(database.info.dsn, "another") as opened:
        yield opened


def wait_until_blocked(database: Connection, count: int = 1) -> None:
    deadline = time.monotonic() + 10
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while database.execute(waiting).fetchall() < [(count,)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_documents_table_gets_triggers_and_nothing_else_and_abort_takes_everything_away(
    database: Connection, migration: Migration
) -> None:
    assert {row[0] for row in database.execute(COLUMNS)} == {"id", "content", "embedding"}
    flag.abort(database, migration)
    triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'documents'::regclass"
    assert database.execute(triggers).fetchall() == []
    assert database.execute("SELECT to_regclass(%s)", [migration.table.companion]).fetchall() == [(None,)]
    functions = (
        "SELECT proname FROM pg_proc WHERE pronamespace = 'reembed'::regnamespace AND prosecdef "
        "AND prorettype = 'trigger'::regtype"
    )
    assert database.execute(functions).fetchall() == []


def test_an_application_needs_no_right_on_the_companion_to_write_and_may_read_it_to_search(
    database: Connection, settings: Settings, documents_table: sql.Identifier
) -> None:
    # Given an application's role, with rights on the documents alone, before the migration starts
    role = sql.Identifier(f"app {database.info.dbname}")
    database.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        database.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON documents TO {}").format(role))
        settings = settings.model_copy(update={"storage": "companion", "chunk_size": 5})
        migration = start.create(database, settings, checks.documents_table(database, settings))
        vector_storage.expand(database, migration)
        granted = (
            "SELECT privilege_type FROM information_schema.table_privileges "
            "WHERE grantee = %s AND table_name = %s"
        )
        rows = database.execute(
            granted, [f"app {database.info.dbname}", migration.table.companion]
        ).fetchall()
        # As it would be with columns of the table: a worker's role needs these
        assert {row[0] for row in rows} == {"SELECT", "INSERT", "UPDATE"}
        database.execute(sql.SQL("REVOKE INSERT, UPDATE ON {} FROM {}").format(companion(migration), role))
        database.execute(sql.SQL("SET ROLE {}").format(role))
        database.execute("INSERT INTO documents (id, content) VALUES (1, 'new')")
        database.execute("UPDATE documents SET content = 'changed', embedding = NULL WHERE id = 7")
        database.execute("UPDATE documents SET content = '' WHERE id = 1")
        database.execute("DELETE FROM documents WHERE id = 14")
        rows = database.execute(sql.SQL("SELECT id FROM {}").format(companion(migration))).fetchall()
        assert rows == [(7,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(sql.SQL("UPDATE {} SET embedding_v2_model = 1").format(companion(migration)))
    finally:
        database.execute("RESET ROLE")
        database.execute(sql.SQL("DROP OWNED BY {0}").format(role))
        database.execute(sql.SQL("DROP ROLE {0}").format(role))


@pytest.mark.parametrize(
    ("text", "written"), [("other words", 4), (None, 5)], ids=["the text changes", "it does not"]
)
def test_a_text_that_is_being_changed_while_its_batch_is_written_gets_no_vector_of_the_old_text(
    database: Connection, migration: Migration, claim: Claim, text: str | None, written: int
) -> None:
    in_flight = documents.fetch_batch(database, migration, claim, after=None, limit=10)
    with another(database) as application, ThreadPoolExecutor(1) as worker:
        with application.transaction():
            application.execute("UPDATE documents SET content = coalesce(%s, content) WHERE id = 14", [text])
            writing = worker.submit(write, database, migration, claim, in_flight)
            wait_until_blocked(application)
        assert writing.result() == written
        assert (14 in fresh(application, migration)) == (text is None)


def test_a_text_that_changes_behind_an_uncommitted_batch_makes_its_vector_stale(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    in_flight = documents.fetch_batch(database, migration, claim, after=None, limit=10)
    with another(database) as application, ThreadPoolExecutor(1) as thread:
        with database.transaction():
            assert write(database, migration, claim, in_flight) == 5
            changing = thread.submit(application.execute, "UPDATE documents SET content = 'x' WHERE id = 14")
            wait_until_blocked(database)
        changing.result()
    assert fresh(database, migration) == {7, 21, 28, 35}


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_a_document_keeps_its_vector_under_a_new_key_or_is_pending_under_it(
    database: Connection, ready: Migration, role: str
) -> None:
    with database.transaction():
        database.execute(sql.SQL("SET LOCAL session_replication_role = {}").format(sql.SQL(role)))
        database.execute("UPDATE documents SET id = 8 WHERE id = 7")
    # The foreign key cascades; under replication it does not, and the trigger lists the document
    assert (8 in fresh(database, ready)) == (role == "origin")
    assert documents.count_pending(database, ready) == (role == "replica")


def test_a_document_that_replication_deletes_leaves_no_vector_behind(
    database: Connection, ready: Migration
) -> None:
    with database.transaction():
        database.execute("SET LOCAL session_replication_role = replica")
        database.execute("DELETE FROM documents WHERE id = 7")
    assert 7 not in fresh(database, ready)


def test_a_document_that_a_new_key_moves_into_another_partition_is_a_new_one(
    database: Connection, settings: Settings
) -> None:
    installation.make_table(database, sql.Identifier("documents"), installation.texts(12), partition_from=50)
    environment = settings.model_copy(update={"storage": "companion", "chunk_size": 100})
    migration = start.create(database, environment, checks.documents_table(database, environment))
    vector_storage.expand(database, migration)
    chunks.plan(database, migration)
    ledger.change_state(database, migration, "backfilling")
    steps.embed(settings, migration, 1)
    assert len(fresh(database, migration)) == 12
    database.execute("UPDATE documents SET id = 1000 WHERE id = 7")
    database.execute("DELETE FROM documents WHERE id = 14")
    rows = database.execute(sql.SQL("SELECT id FROM {}").format(companion(migration))).fetchall()
    assert {1000, 84} <= {row[0] for row in rows}
    assert not {7, 14} & {row[0] for row in rows}
    assert documents.count_pending(database, migration) == 1


def test_pending_documents_are_found_by_the_index_of_the_companion_alone(
    database: Connection, settings: Settings, ready: Migration
) -> None:
    database.execute(
        "INSERT INTO documents (id, content, embedding) "
        "SELECT 1000 + i, 'text ' || i, array_fill(1::real, '{32}')::vector FROM generate_series(1, 3000) i"
    )
    database.execute(
        sql.SQL(
            "UPDATE {} n SET embedding_v2 = array_fill(1::real, '{{64}}')::vector, embedding_v2_model = %s, "
            "embedding_v2_hash = md5(d.content)::uuid FROM documents d WHERE d.id = n.id AND n.id <> 1500"
        ).format(companion(ready)),
        [ready.new_model_id],
    )
    database.execute("VACUUM ANALYZE")
    explain = sql.SQL("EXPLAIN SELECT count(*) FROM documents d {} WHERE {}")
    # At the end of a backfill too, once the last look has listed them all
    backfilled = dataclasses.replace(ready, state="backfilling", listed=True)
    for names, index in (
        (ready.names, ready.table.pending_index),
        (backfilled.names, ready.table.pending_index),
        (ready.old_names, ready.table.old_pending_index),
    ):
        rows = database.execute(explain.format(names["joined"], names["pending"])).fetchall()
        plan = "\n".join(row[0] for row in rows)
        assert index in plan, plan
        assert "Seq Scan on documents" not in plan, plan
        assert "Seq Scan on documents_embedding" not in plan, plan
    assert documents.count_pending(database, ready) == 1
    assert chunks.plan_catch_up(database, ready) == 1


def test_a_new_document_is_pending_from_its_first_moment_and_one_without_text_is_not(
    database: Connection, ready: Migration
) -> None:
    assert documents.count_pending(database, ready) == 0
    database.execute("INSERT INTO documents (id, content) VALUES (1, 'new'), (2, ''), (3, NULL)")
    assert documents.count_pending(database, ready) == 1
    database.execute("UPDATE documents SET content = 'text after all' WHERE id = 2")
    assert documents.count_pending(database, ready) == 2
    database.execute("UPDATE documents SET content = NULL WHERE id = 1")
    assert documents.count_pending(database, ready) == 1


def test_what_was_written_while_the_triggers_were_off_is_found_by_the_census_and_mended_by_retry(
    database: Connection, ready: Migration
) -> None:
    database.execute("ALTER TABLE documents DISABLE TRIGGER USER")
    database.execute("INSERT INTO documents (id, content) VALUES (1, 'unnoticed')")
    database.execute("UPDATE documents SET content = 'unnoticed' WHERE id = 7")
    database.execute("ALTER TABLE documents ENABLE TRIGGER USER")
    census = documents.census(database, ready)
    assert (census.pending, census.stale) == (1, 1)
    resume.retry(database, ready)
    assert documents.count_pending(database, ready) == 2


def test_a_refusal_of_the_backfill_that_is_released_is_pending_again(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    # Given a document that never got a row in the companion, because the provider refused it
    found = documents.fetch_batch(database, migration, claim, after=None, limit=10)
    documents.write_batch(
        database, migration, claim, [], np.ones((0, 64), np.float32), {found[0]: "no"}, tokens=1, lease_seconds=30
    )  # fmt: skip
    # When the backfill ends, and somebody asks for another try
    documents.mark_pending(database, migration)
    ready = steps.walk(database, migration, "indexing", "validating", "ready")
    before = documents.count_pending(database, ready)
    resume.retry(database, ready)
    assert documents.count_pending(database, ready) == before + 1


def test_an_old_vector_that_comes_out_as_it_was_is_not_made_for_ever(
    database: Connection, settings: Settings, ready: Migration
) -> None:
    ledger.change_state(database, ready, "switched")
    switched = ledger.get(database, ready.id)
    database.execute("UPDATE documents SET content = content || ' ' WHERE id = 7")
    assert documents.count_old_pending(database, switched).stale == 1
    catch_up(database, settings, switched)
    assert documents.count_old_pending(database, switched).stale == 0


def test_two_batches_and_an_application_on_the_same_documents_all_come_through(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    stop = threading.Event()

    def edit() -> None:
        with another(database) as application:
            number = 0
            while not stop.is_set():
                number += 1
                application.execute(
                    "UPDATE documents SET content = 'edited ' || %s WHERE id = %s",
                    [number, 7 * (1 + number % 12)],
                )

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        for _ in range(5):
            steps.embed(settings, migration, 1, 2, 3)
            database.execute("DELETE FROM reembed.chunks")
            chunks.plan(database, migration)
    finally:
        stop.set()
        editor.join()
    steps.embed(settings, migration, 1, 2, 3)
    assert installation.wrong_documents(database, sql.Identifier("documents")) == []
