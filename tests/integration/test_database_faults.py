"""A worker against the faults of a real database: the batch is there or not there, and nobody is condemned."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import advance
from orchestrator.embedded.stack import Stack
from reembed.database import chunks, documents, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps
from workers import backfill
from workers.tools import Tools

RIGHT: tuple[list[int], list[str]] = ([], [])


@pytest.fixture
def tools(settings: Settings) -> Iterator[Tools]:
    """A worker that is patient with the database for eight seconds, and takes no other chunk along."""
    changed = {"chunk_lease_seconds": 4.0, "rerun_failed_every_seconds": 1, "embed_concurrency": 1}
    made = Tools(settings.model_copy(update=changed))
    yield made
    made.close()


@pytest.fixture
def during(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Something that happens just before the first batch is written: its vectors are paid for by then."""
    write_batch = documents.write_batch

    def happen(what: Callable[[], None]) -> None:
        todo = [what]

        def late(*arguments: object, **options: object) -> int:
            if todo:
                todo.pop()()
            return write_batch(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(documents, "write_batch", late)

    return happen


def outcome(database: Connection, migration: Migration) -> tuple[list[int], list[str]]:
    """Documents of the first chunk with a wrong vector, and whoever was condemned."""
    wrong = installation.wrong_documents(database, sql.Identifier("documents"))
    condemned = database.execute("SELECT document_id FROM reembed.failures").fetchall()
    return [key for key in wrong if key <= 35], [row[0] for row in condemned]


def first_chunk(database: Connection) -> tuple[str, int, int]:
    row = database.execute("SELECT state, strikes, embedded FROM reembed.chunks WHERE number = 1").fetchone()
    assert row is not None
    return row


def texts_embedded(stack: Stack) -> int:
    return stack.provider.usage().get(installation.NEW_MODEL, {"texts": 0})["texts"]


@pytest.mark.parametrize("fault", ["session terminated", "nobody is let in", "read-only for a while"])
def test_a_batch_that_is_paid_for_is_committed_once_the_database_takes_it(
    stack: Stack,
    database: Connection,
    migration: Migration,
    tools: Tools,
    during: Callable[[Callable[[], None]], None],
    fault: str,
) -> None:
    name = sql.Identifier(database.info.dbname)

    def terminate() -> None:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'reembed worker' AND datname = current_database()"
        )

    def alter(what: str) -> None:
        with psycopg.connect(stack.postgres.url("postgres"), autocommit=True) as elsewhere:
            elsewhere.execute(sql.SQL("ALTER DATABASE {} {}").format(name, sql.SQL(what)))

    def break_it() -> None:
        if fault == "nobody is let in":
            alter("ALLOW_CONNECTIONS false")
        if fault == "read-only for a while":
            alter("SET default_transaction_read_only = on")
        terminate()
        mending.start()

    def mend() -> None:
        alter("ALLOW_CONNECTIONS true")
        alter("RESET default_transaction_read_only")

    mending = threading.Timer(1.5, mend)

    before = texts_embedded(stack)
    during(break_it)
    backfill.embed_chunk(tools, migration.id, 1)
    assert outcome(database, migration) == RIGHT
    mending.join()
    assert first_chunk(database) == ("done", 0, 5)
    # Nothing was paid for twice
    assert texts_embedded(stack) - before == 5


def test_a_deadlock_with_the_application_ends_well_for_both(
    stack: Stack, database: Connection, migration: Migration, tools: Tools
) -> None:
    # Given an application that has one document of the batch, and will want the others
    with psycopg.connect(stack.postgres.url(database.info.dbname)) as application:
        application.execute("UPDATE documents SET embedding = embedding WHERE id = 35")
        worker = threading.Thread(target=backfill.embed_chunk, args=(tools, migration.id, 1))
        worker.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reembed worker' "
            "AND datname = current_database() AND wait_event_type = 'Lock'"
        )
        deadline = time.monotonic() + 60
        while database.execute(waiting).fetchone() == (0,):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # When it wants them in the other order
        try:
            application.execute("UPDATE documents SET content = content || ' again' WHERE id <= 28")
            application.commit()
        except psycopg.errors.DeadlockDetected:
            application.rollback()
        worker.join(60)
    # Then the worker finishes its chunk, and every vector is of the text that stands there
    assert first_chunk(database)[:2] == ("done", 0)
    assert outcome(database, migration)[1] == []
    pending = documents.count_pending(database, migration)
    assert pending in (7, 7 + 4)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_role_that_works_in_stricter_isolation_is_served_as_well(
    database: Connection,
    migration: Migration,
    tools: Tools,
    during: Callable[[Callable[[], None]], None],
    isolation: str,
) -> None:
    name = sql.Identifier(database.info.dbname)
    setting = sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = {}")
    database.execute(setting.format(name, sql.Literal(isolation)))

    def touch() -> None:
        database.execute("UPDATE documents SET embedding = embedding WHERE id = 7")

    during(touch)
    backfill.embed_chunk(tools, migration.id, 1)
    assert outcome(database, migration) == RIGHT
    assert first_chunk(database) == ("done", 0, 5)


def test_a_lock_that_is_held_longer_than_the_role_may_wait_is_waited_for_in_pieces(
    stack: Stack, database: Connection, migration: Migration, tools: Tools
) -> None:
    database.execute(
        sql.SQL("ALTER DATABASE {} SET lock_timeout = '200ms'").format(sql.Identifier(database.info.dbname))
    )
    with psycopg.connect(stack.postgres.url(database.info.dbname)) as application:
        application.execute("UPDATE documents SET embedding = embedding WHERE id = 7")
        threading.Timer(1.5, application.commit).start()
        backfill.embed_chunk(tools, migration.id, 1)
    assert outcome(database, migration) == RIGHT
    assert first_chunk(database) == ("done", 0, 5)


def test_a_full_disk_puts_the_chunk_off_with_the_reason_and_it_goes_on_by_itself(
    database: Connection, migration: Migration, settings: Settings
) -> None:
    # Given a table whose rows cannot be written for want of space: a trigger says so, as a full disk would
    database.execute(
        """
        CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER no_space BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION no_space()
        """
    )
    tools = Tools(settings.model_copy(update={"chunk_lease_seconds": 1.0}))
    try:
        backfill.embed_chunk(tools, migration.id, 1)
        assert first_chunk(database) == ("pending", 0, 0)
        waiting_for = chunks.count(database, migration.id).waiting_for
        assert waiting_for == "the database: DiskFull: could not extend file"
        assert ledger.get(database, migration.id).state == "backfilling"
        # When there is space again
        database.execute("DROP TRIGGER no_space ON documents")
        time.sleep(1)
        backfill.embed_chunk(tools, migration.id, 1)
    finally:
        tools.close()
    assert outcome(database, migration) == RIGHT
    assert first_chunk(database) == ("done", 0, 5)


def test_a_right_that_is_taken_away_stops_the_migration_with_the_reason(
    stack: Stack, database: Connection, migration: Migration, settings: Settings
) -> None:
    # Given workers whose role may do everything but write documents
    role = sql.Identifier(f"weak_{database.info.dbname}")
    database.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    database.execute(sql.SQL("GRANT USAGE ON SCHEMA reembed TO {}").format(role))
    database.execute(
        sql.SQL("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA reembed TO {}").format(role)
    )
    database.execute(sql.SQL("GRANT SELECT ON documents TO {}").format(role))
    url = settings.database.replace("postgres@", f"weak_{database.info.dbname}@")
    environment = settings.model_dump() | {"database_url": url}
    tools = Tools(Settings.model_validate(environment))
    backfill.embed_chunk(tools, migration.id, 1)
    stopped = ledger.get(database, migration.id)
    assert stopped.state == "paused"
    assert stopped.reason == (
        "The database role of the workers may not write: InsufficientPrivilege: permission denied for table documents. "
        "Grant it what docs/operations.md lists."
    )
    assert first_chunk(database) == ("pending", 0, 0)
    assert outcome(database, migration)[1] == []
    # When it is granted, with nothing more than that
    database.execute(sql.SQL("GRANT UPDATE ON documents TO {}").format(role))
    ledger.change_state(database, stopped, "backfilling")
    chunks.hurry(database, migration.id)
    backfill.embed_chunk(tools, migration.id, 1)
    tools.close()
    assert first_chunk(database) == ("done", 0, 5)
    assert outcome(database, migration) == RIGHT


def test_a_rule_that_refuses_every_document_condemns_none_and_stops_the_migration(
    database: Connection, migration: Migration, tools: Tools
) -> None:
    database.execute(
        """
        CREATE FUNCTION frozen() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the table is frozen'; END $$;
        CREATE TRIGGER frozen BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION frozen()
        """
    )
    backfill.embed_chunk(tools, migration.id, 1)
    stopped = ledger.get(database, migration.id)
    assert stopped.state == "paused"
    assert stopped.reason is not None
    assert stopped.reason.startswith(
        "The database refuses every one of 5 documents by the same rule (RaiseException"
    )
    assert outcome(database, migration)[1] == []
    assert first_chunk(database) == ("pending", 0, 0)


NOT_KEPT = "it took it and did not keep it: a trigger returns NULL, or a policy hides the row"


def keep_as_it_is(database: Connection, which: str) -> None:
    """A trigger that lets a statement pass, and its rows stay as they were."""
    database.execute(
        f"""
        CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER kept BEFORE UPDATE ON documents FOR EACH ROW WHEN ({which}) EXECUTE FUNCTION kept()
        """
    )


def test_a_document_whose_vector_is_taken_and_not_kept_is_recorded_and_paid_for_once(
    stack: Stack, database: Connection, migration: Migration, tools: Tools
) -> None:
    keep_as_it_is(database, "OLD.id = 7")
    before = texts_embedded(stack)
    backfill.embed_chunk(tools, migration.id, 1)
    assert first_chunk(database) == ("done", 0, 4)
    assert outcome(database, migration) == ([7], ["7"])
    reasons = database.execute("SELECT reason FROM reembed.failures").fetchall()
    assert reasons == [(f"The database refuses its vector ({NOT_KEPT}).",)]
    # Then nothing is left to be paid for in this chunk
    assert chunks.plan_catch_up(database, migration) == 0
    assert texts_embedded(stack) - before == 5


def test_a_trigger_that_keeps_every_row_as_it_was_condemns_none_and_stops_the_migration(
    database: Connection, migration: Migration, tools: Tools
) -> None:
    keep_as_it_is(database, "true")
    backfill.embed_chunk(tools, migration.id, 1)
    stopped = ledger.get(database, migration.id)
    assert (stopped.state, stopped.reason) == (
        "paused",
        f"The database refuses every one of 5 documents by the same rule ({NOT_KEPT}). "
        "Look at the triggers and constraints of the table; no document was recorded as failed.",
    )
    assert outcome(database, migration)[1] == []


def test_beside_a_row_that_is_refused_one_that_is_not_kept_is_recorded_as_well(
    database: Connection, migration: Migration, tools: Tools
) -> None:
    database.execute("ALTER TABLE documents ADD CONSTRAINT never_21 CHECK (id <> 21 OR embedding_v2 IS NULL)")
    keep_as_it_is(database, "OLD.id = 7")
    backfill.embed_chunk(tools, migration.id, 1)
    assert first_chunk(database) == ("done", 0, 3)
    wrong, condemned = outcome(database, migration)
    assert (wrong, sorted(condemned)) == ([7, 21], ["21", "7"])


@pytest.mark.parametrize("storage", ["column", "companion"])
@pytest.mark.parametrize(
    "what", ["DELETE FROM documents WHERE id = 7", "UPDATE documents SET content = 'another' WHERE id = 7"]
)
def test_a_document_that_goes_or_changes_while_its_vector_is_made_is_no_failure(
    database: Connection,
    migration: Migration,
    tools: Tools,
    during: Callable[[Callable[[], None]], None],
    what: LiteralString,
) -> None:
    during(lambda: database.execute(what))  # type: ignore[arg-type]
    backfill.embed_chunk(tools, migration.id, 1)
    assert first_chunk(database) == ("done", 0, 4)
    assert outcome(database, migration)[1] == []


@pytest.mark.parametrize("storage", ["column", "companion"])
def test_an_old_vector_that_is_taken_and_not_kept_is_recorded_for_the_old_column_alone(
    database: Connection, migration: Migration, settings: Settings, storage: str
) -> None:
    # Given a text that changed since the switch, and another beside it
    steps.embed(settings, migration, 1, 2, 3)
    with_old = settings.model_copy(update={"old_embed_model": installation.OLD_MODEL})
    advance.advance(database, with_old, migration.id)
    switched = steps.walk(database, migration, "switched")
    database.execute("UPDATE documents SET content = content || ' anew' WHERE id IN (7, 14)")
    keep_as_it_is(database, "OLD.id = 7")
    # When the old model's vectors are written
    assert chunks.plan_catch_up(database, switched, "old") == 1
    (number,) = database.execute("SELECT max(number) FROM reembed.chunks").fetchone() or (0,)
    steps.embed(with_old, switched, number)
    # Then one is fresh, and the other is recorded
    condemned = database.execute("SELECT side, document_id FROM reembed.failures").fetchall()
    assert condemned == [("old", "7")]
    assert chunks.plan_catch_up(database, switched, "old") == 0


def test_vectors_and_progress_are_committed_together_or_not_at_all(
    database: Connection,
    migration: Migration,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The statement is cut off in its middle, at the fourth of five rows."""
    database.execute(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.id = 28 THEN PERFORM pg_sleep(30); END IF; RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION slow()
        """
    )
    tools = Tools(settings.model_copy(update={"chunk_lease_seconds": 1.0}))
    worker = threading.Thread(target=backfill.embed_chunk, args=(tools, migration.id, 1))
    worker.start()
    sleeping = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE application_name = 'reembed worker' AND datname = current_database() AND wait_event = 'PgSleep'"
    )
    deadline = time.monotonic() + 60
    while database.execute(sleeping).fetchone() == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    written = database.execute("SELECT count(embedding_v2) FROM documents").fetchone()
    assert (written, first_chunk(database)[2]) == ((0,), 0)
    database.execute("DROP TRIGGER slow ON documents")
    worker.join(60)
    tools.close()
    written = database.execute("SELECT count(embedding_v2) FROM documents").fetchone()
    assert (written, first_chunk(database)[2]) == ((5,), 5)
