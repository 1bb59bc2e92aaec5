"""The index after the backfill: as the operator wants it, visible while it grows, whatever interrupted it before."""

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import flag, progress
from orchestrator.embedded import account
from orchestrator.embedding_server import models
from reembed.database import building, connection, indexes, ledger, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.database.tuning import Tuning
from tests import installation, waiting

SETTINGS = ("statement_timeout", "maintenance_work_mem", "max_parallel_maintenance_workers")


@pytest.fixture
def ready_to_index(database: Connection, migration: Migration) -> Migration:
    """Two thousand documents with vectors, in state `indexing`."""
    insert = (
        "INSERT INTO documents (id, content) SELECT 1000 + n, 'text ' || n FROM generate_series(1, 2000) n"
    )
    database.execute(insert)
    texts = [f"text {number}" for number in range(50)]
    vectors = models.embed(installation.NEW_MODEL, texts, installation.NEW_DIMENSIONS)
    with database.cursor() as cursor:
        cursor.executemany(
            "UPDATE documents SET embedding_v2 = %s, embedding_v2_model = %s, "
            "embedding_v2_hash = md5(content)::uuid WHERE id %% 50 = %s",
            [(vector, migration.new_model_id, number) for number, vector in enumerate(vectors)],
        )
    ledger.change_state(database, migration, "indexing")
    return ledger.get(database, migration.id)


def options(database: Connection, migration: Migration) -> tuple[bool, list[str] | None, int]:
    """Whether the vector index is valid, what it was built WITH, and its identity."""
    row = database.execute(
        "SELECT i.indisvalid, c.reloptions, c.oid::int FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid "
        "WHERE c.relname = %s",
        [migration.table.new_index],
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def settings_of(database: Connection) -> list[str]:
    return [str(database.execute(f"SHOW {name}").fetchall()[0][0]) for name in SETTINGS]


def test_an_index_is_built_as_the_operator_wants_it(database: Connection, ready_to_index: Migration) -> None:
    indexes.build(database, ready_to_index, 2_012, Tuning(m=7, ef_construction=33))
    assert options(database, ready_to_index)[:2] == (True, ["m=7", "ef_construction=33"])


def test_the_sessions_settings_are_the_operators_during_the_build_and_no_longer(
    database: Connection, ready_to_index: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settings_of(database)
    during: dict[str, list[str]] = {}
    run = queries.run

    def watched(connection: Connection, name: str, names: Any = None, /, **values: Any) -> Any:
        if name.startswith("create_"):
            during[name] = settings_of(connection)
        return run(connection, name, names, **values)

    monkeypatch.setattr(queries, "run", watched)
    wanted = Tuning(maintenance_work_mem="77MB", parallel_workers=1)
    indexes.build(database, ready_to_index, 2_012, wanted)
    assert during == {"create_vector_index": ["0", "77MB", "1"]}
    assert settings_of(database) == before


def test_the_sessions_settings_are_given_back_also_by_a_build_that_fails(
    database: Connection, ready_to_index: Migration
) -> None:
    before = settings_of(database)
    database.execute("DROP TABLE documents")
    with pytest.raises(psycopg.Error):
        indexes.build(database, ready_to_index, 1, Tuning(maintenance_work_mem="77MB"))
    assert settings_of(database) == before


@contextmanager
def built_beside(settings: Settings, migration: Migration) -> Iterator[tuple[int, threading.Thread]]:
    """A build in a session of its own, held up by an older transaction; its process and its thread."""
    with (
        connection.connect(settings.database, "older") as older,
        connection.connect(settings.database, "builder") as builder,
    ):

        def build() -> None:
            try:
                indexes.build(builder, migration, 2_012, Tuning())
            except psycopg.OperationalError:
                # Its process was ended
                assert builder.closed

        thread = threading.Thread(target=build)
        with older.transaction():
            # It has written to the table, so that the build has to wait for its end
            older.execute("UPDATE documents SET content = content WHERE id = 7")
            thread.start()
            yield builder.info.backend_pid, thread
        thread.join(60)
        assert not thread.is_alive()


def test_status_says_which_process_holds_up_the_index(
    database: Connection, settings: Settings, ready_to_index: Migration
) -> None:
    def held_up() -> progress.Status | None:
        status = progress.status(database, ready_to_index)
        found = status.index_progress
        # Its name comes from the catalog, as of a moment before
        return status if found and found.held_up_by and found.index else None

    with built_beside(settings, ready_to_index):
        status = waiting.until(held_up)
        found = status.index_progress
        assert found is not None
        assert found.index == ready_to_index.table.new_index
        assert found.phase.startswith("waiting for ")
        assert status.waiting_for == f"the index: {found.phase} (process {found.held_up_by})"
        assert status.as_json()["index_progress"] == {
            "index": found.index, "phase": found.phase, "percent": None, "held_up_by": found.held_up_by,
        }  # fmt: skip
    assert progress.status(database, ready_to_index).index_progress is None


def test_an_abort_ends_a_build_that_would_hold_it_up(
    database: Connection, settings: Settings, ready_to_index: Migration
) -> None:
    cancelled: list[BaseException] = []
    table = ready_to_index.table

    def build(builder: Connection) -> None:
        try:
            indexes.build(builder, ready_to_index, 2_012, Tuning())
        except psycopg.errors.QueryCanceled as error:
            cancelled.append(error)

    with (
        connection.connect(settings.database, "older") as older,
        connection.connect(settings.database, "control") as builder,
    ):
        older.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT 1")
        thread = threading.Thread(target=build, args=(builder,))
        thread.start()
        # It waits for a snapshot that is older; the table itself is free
        waiting.until(lambda: (found := building.progress(database, table)) and found.held_up_by)
        flag.abort(database, ready_to_index)
        thread.join(10)
        older.rollback()
    assert len(cancelled) == 1
    columns = database.execute(
        "SELECT FROM pg_attribute WHERE attrelid = 'documents'::regclass AND attname = %s", [table.new]
    )
    assert columns.rowcount == 0


def test_status_counts_while_vectors_are_put_into_the_index(
    database: Connection, settings: Settings, ready_to_index: Migration
) -> None:
    database.execute(
        "INSERT INTO documents (id, content, embedding_v2, embedding_v2_model, embedding_v2_hash) "
        "SELECT 10000 + n, 'more', (SELECT array_agg(random() + 0 * (n + k)) FROM generate_series(1, 64) k)::vector, "
        "%s, md5('more')::uuid FROM generate_series(1, 20000) n",
        [ready_to_index.new_model_id],
    )
    seen: list[building.Progress] = []
    with connection.connect(settings.database, "builder") as builder:
        arguments = (builder, ready_to_index, 22_012, Tuning())
        thread = threading.Thread(target=indexes.build, args=arguments)
        thread.start()
        while thread.is_alive():
            if (found := building.progress(database, ready_to_index.table)) is not None:
                seen.append(found)
            time.sleep(0.01)
    name = ready_to_index.table.new_index
    loading = [one.percent for one in seen if (one.index, one.phase) == (name, "loading tuples")]
    shares = [percent for percent in loading if percent is not None]
    assert len(shares) == len(loading) > 3
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 100


def test_an_index_whose_build_was_interrupted_is_built_anew(
    database: Connection, settings: Settings, ready_to_index: Migration
) -> None:
    # The small ones stand, so that the next that is begun is the vectors'
    indexes.build(database, ready_to_index, 2_012, Tuning())
    database.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(ready_to_index.table.new_index)))
    with built_beside(settings, ready_to_index) as (process, thread):
        # It waits for the older transaction: only then is the index in the catalog, and not valid yet
        waiting.until(
            lambda: (found := building.progress(database, ready_to_index.table)) and found.held_up_by
        )
        database.execute("SELECT pg_terminate_backend(%s)", [process])
        thread.join(10)
        valid, _, leftover = options(database, ready_to_index)
        assert not valid
    indexes.build(database, ready_to_index, 2_012, Tuning())
    valid, _, rebuilt = options(database, ready_to_index)
    assert valid
    assert rebuilt != leftover


@pytest.mark.skipif(
    shutil.which("prlimit") is None, reason="prlimit is not installed (apt-get install util-linux)"
)
def test_a_build_that_gets_no_shared_memory_goes_on_without_parallel_workers(
    database: Connection, ready_to_index: Migration, caplog: pytest.LogCaptureFixture
) -> None:
    before = settings_of(database)
    database.execute("ALTER TABLE documents SET (parallel_workers = 2)")
    # A full /dev/shm, for this session alone: what parallel workers share is a file, and none may become so large
    limit = ["prlimit", f"--pid={database.info.backend_pid}", f"--fsize={48 * 1024**2}:"]
    subprocess.run(limit, check=True, **account.as_user(account.Account.for_postgres()))
    wanted = Tuning(maintenance_work_mem="100MB", parallel_workers=2)
    with caplog.at_level(logging.WARNING, "reembed.database.indexes"):
        indexes.build(database, ready_to_index, 2_012, wanted)
    assert options(database, ready_to_index)[0]
    (line,) = caplog.messages
    assert line.startswith(
        f'event=index_without_parallel_workers migration={ready_to_index.id} reason="could not '
    )
    assert settings_of(database) == before


def test_what_else_goes_wrong_with_a_build_is_not_tried_again(
    database: Connection, ready_to_index: Migration, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue), caplog.at_level(logging.WARNING):
        indexes.build(database, ready_to_index, 2_012, Tuning(m=1_000))
    assert not caplog.messages
