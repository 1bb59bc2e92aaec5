"""`cleanup` with a companion: interrupted and written to all the time, it ends with every vector home."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import checks, flag, homecoming, start
from reembed import errors
from reembed.database import chunks, companion, documents, indexes, ledger
from reembed.database import storage as vector_storage
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.retrieval import Retriever
from tests import installation, steps
from tests.integration.test_companion import another, wait_until_blocked
from tests.integration.test_old_column import catch_up

DOCUMENTS = sql.Identifier("documents")
HOME = ("id", "content", "embedding")

pytestmark = pytest.mark.usefixtures("nothing_published")


@pytest.fixture
def storage() -> str:
    return "companion"


@pytest.fixture(autouse=True)
def _small_and_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homecoming, "BATCH", 5)
    monkeypatch.setattr(homecoming, "_PATIENCE_SECONDS", 0)


@pytest.fixture
def switched(database: Connection, settings: Settings, migration: Migration) -> Migration:
    steps.embed(settings, migration, 1, 2, 3)
    return switch(database, migration)


def switch(database: Connection, migration: Migration) -> Migration:
    documents.mark_pending(database, migration)
    indexes.build_pending(database, migration)
    indexes.build(database, migration, 12)
    return steps.walk(database, migration, "indexing", "validating", "ready", "switched")


@pytest.fixture
def interrupted(database: Connection, switched: Migration, monkeypatch: pytest.MonkeyPatch) -> Migration:
    """In `cleaning`: the first batch is home, then the connection broke."""
    move = companion.move

    def once(*arguments: object, after: object, **more: object) -> object:
        if after is not None:
            raise psycopg.OperationalError("the server went away")
        return move(*arguments, after=after, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(companion, "move", once)
        with pytest.raises(homecoming.NotAllHome) as stopped:
            clean_up(database, switched)
    database.execute("SELECT pg_advisory_unlock_all()")
    assert str(stopped.value) == (
        "The old column is gone, but not every vector is home: the server went away. "
        "Searches are right meanwhile. `reembed cleanup` goes on from here."
    )
    return ledger.get(database, switched.id)


def clean_up(database: Connection, migration: Migration) -> list[str]:
    told: list[str] = []
    flag.cleanup(database, ledger.get(database, migration.id), tell=told.append)
    return told


def home(database: Connection) -> list[tuple[object, ...]]:
    """Documents that have a vector at home."""
    return database.execute("SELECT id FROM documents WHERE embedding IS NOT NULL ORDER BY id").fetchall()


def test_an_interrupted_cleanup_goes_on_where_it_was_and_ends_with_a_table_as_before(
    database: Connection, switched: Migration, interrupted: Migration
) -> None:
    assert interrupted.state == "cleaning"
    assert home(database) == [(7,), (14,), (21,), (28,), (35,)]
    assert clean_up(database, interrupted)[0] == "7 vectors came home"
    assert ledger.get(database, switched.id).state == "cleaned"
    assert installation.wrong_documents(database, DOCUMENTS, columns=HOME) == []
    rows = database.execute(
        "SELECT count(*) FROM documents WHERE embedding_model = %s AND embedding_hash = md5(content)::uuid",
        [switched.new_model_id],
    ).fetchall()
    assert rows == [(12,)]
    columns = database.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'documents'::regclass AND attnum > 0 AND NOT attisdropped"
    ).fetchall()
    assert {row[0] for row in columns} == {"id", "content", "embedding", "embedding_model", "embedding_hash"}
    indexed = database.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'documents' ORDER BY 1")
    assert indexed.fetchall() == [("documents_embedding_idx",), ("documents_pkey",)]
    assert database.execute("SELECT to_regclass(%s)", [switched.table.companion]).fetchall() == [(None,)]
    ours = (
        "SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'documents'::regclass),"
        " (SELECT count(*) FROM pg_proc WHERE pronamespace = 'reembed'::regnamespace AND prosecdef"
        "   AND prorettype = 'trigger'::regtype)"
    )
    assert database.execute(ours).fetchall() == [(0, 0)]


def test_searches_read_the_companion_until_all_vectors_are_home(
    database: Connection, settings: Settings, interrupted: Migration
) -> None:
    query = installation.texts(12)[11]
    with Retriever(settings) as retriever:
        during = retriever.search(database, query, top_k=12)
        clean_up(database, interrupted)
        after = retriever.search(database, query, top_k=12)
    assert [len(during), during[0].content, after] == [12, query, during]
    # Whoever insists on the old column gets the new one: there is no other
    with Retriever(settings.model_copy(update={"use_v2_embeddings": False})) as retriever:
        assert retriever.search(database, query, top_k=12) == during


LIVE_WRITES = {
    "an insert": "INSERT INTO documents (id, content) VALUES (1, 'new words')",
    "a text that changes before its vector is home": "UPDATE documents SET content = 'changed' WHERE id = 84",
    "a text that changes when its vector is home": "UPDATE documents SET content = 'changed' WHERE id = 7",
    "a text that goes": "UPDATE documents SET content = '' WHERE id IN (7, 84)",
    "a text that goes by replication": (
        "SET session_replication_role = replica;"
        "UPDATE documents SET content = '' WHERE id IN (7, 84);"
        "SET session_replication_role = DEFAULT"
    ),
    "documents that go": "DELETE FROM documents WHERE id IN (7, 84)",
    "a key that changes": "UPDATE documents SET id = id + 1 WHERE id IN (7, 84)",
    "a change that arrives by replication": (
        "SET session_replication_role = replica;"
        "UPDATE documents SET content = 'replicated' WHERE id IN (7, 84);"
        "SET session_replication_role = DEFAULT"
    ),
}


@pytest.mark.parametrize("statement", LIVE_WRITES.values(), ids=list(LIVE_WRITES))
def test_what_is_written_while_vectors_come_home_ends_with_the_vector_of_its_text(
    database: Connection, settings: Settings, interrupted: Migration, statement: str
) -> None:
    database.execute(statement)
    catch_up(database, settings, interrupted)
    clean_up(database, interrupted)
    assert installation.wrong_documents(database, DOCUMENTS, columns=HOME) == []
    left = (
        "SELECT count(*) FROM documents"
        " WHERE (embedding IS NULL) <> (content = '') OR (embedding_hash IS NULL) <> (content = '')"
    )
    assert database.execute(left).fetchall() == [(0,)]


def test_the_last_step_waits_for_documents_that_are_pending(
    database: Connection, settings: Settings, interrupted: Migration
) -> None:
    database.execute("UPDATE documents SET content = 'changed' WHERE id = 7")
    with pytest.raises(homecoming.NotAllHome, match="1 documents still need one, for which a worker"):
        clean_up(database, interrupted)
    catch_up(database, settings, interrupted)
    clean_up(database, interrupted)
    assert ledger.get(database, interrupted.id).state == "cleaned"


def test_whoever_changes_a_vector_while_it_is_being_moved_comes_last(
    database: Connection, interrupted: Migration
) -> None:
    table = sql.Identifier(str(interrupted.table.companion))
    change = sql.SQL("UPDATE {} SET embedding_v2 = array_fill(0.5::real, '{{64}}')::vector WHERE id = 84")
    with another(database) as service, ThreadPoolExecutor(1) as mover:
        with service.transaction():
            service.execute(change.format(table))
            moving = mover.submit(companion.move, database, interrupted, after=77, limit=5)
            wait_until_blocked(service)
        moving.result()
        row = service.execute("SELECT embedding = %s FROM documents WHERE id = 84", [np.full(64, 0.5)])
        assert row.fetchall() == [(True,)]


@pytest.mark.parametrize("when", ["fetched before", "claimed after", "planned after"])
def test_nothing_of_the_old_model_is_written_where_the_new_vectors_come_home_to(
    database: Connection,
    switched: Migration,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database.execute("UPDATE documents SET content = 'changed' WHERE id = 7")
    chunks.plan_catch_up(database, switched, "old")

    def claim(number: int) -> chunks.Claim | None:
        return chunks.claim(database, switched.id, number, owner="t", lease_seconds=30, max_strikes=3)

    claimed = claim(4) if when == "fetched before" else None
    monkeypatch.setattr(documents, "count_pending", lambda *arguments: 0)
    monkeypatch.setattr(homecoming, "_move_all", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        clean_up(database, switched)
    if when == "planned after":
        chunks.plan_catch_up(database, switched, "old")
        assert database.execute("SELECT number FROM reembed.chunks WHERE side = 'old'").fetchall() == [(4,)]
    if claimed is None:
        assert claim(4) is None
        claimed = chunks.Claim(switched.id, "old", 4, 1, "7", "84", 1)
        database.execute(
            "UPDATE reembed.chunks SET state = 'running', attempt = 1, lease_until = now() WHERE number = 4"
        )
    found = documents.fetch_batch(
        database, switched, dataclasses.replace(claimed, side="new"), after=None, limit=99
    )
    with pytest.raises(errors.LeaseLost):
        documents.write_batch(
            database, switched, claimed, found, np.ones((len(found), 32), np.float32), {}, tokens=0, lease_seconds=9
        )  # fmt: skip
    assert home(database) == []


def test_a_session_that_writes_before_and_after_the_old_column_is_gone_meets_no_error_whatever_its_type(
    database: Connection, settings: Settings
) -> None:
    installation.make_table(database, DOCUMENTS, installation.texts(12), indexed=False)
    database.execute("ALTER TABLE documents ALTER embedding TYPE halfvec(32) USING embedding::halfvec(32)")
    environment = settings.model_copy(update={"storage": "companion", "chunk_size": 100})
    migration = start.create(database, environment, checks.documents_table(database, environment))
    vector_storage.expand(database, migration)
    chunks.plan(database, migration)
    ledger.change_state(database, migration, "backfilling")
    steps.embed(settings, migration, 1)
    migration = switch(database, migration)
    with another(database) as application:
        for number in range(7):
            application.execute("UPDATE documents SET content = 'before ' || %s WHERE id = 7", [number])
        homecoming._make_room(database, migration, ())
        application.execute("UPDATE documents SET content = 'after' WHERE id = 7")
        application.execute("INSERT INTO documents (id, content) VALUES (1, 'after')")
    catch_up(database, settings, migration)
    clean_up(database, migration)
    assert installation.wrong_documents(database, DOCUMENTS, columns=HOME) == []


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        (flag.rollback, "Migration 1 is cleaning: the old column is gone, and there is no way back to it."),
        (
            flag.abort,
            "Migration 1 is cleaning, so it cannot be aborted. While it is switched, `reembed rollback` comes "
            "first; after cleanup only a new migration leads anywhere.",
        ),
    ],
)
def test_from_the_old_columns_end_there_is_no_way_back(
    database: Connection, interrupted: Migration, verb: Callable[[Connection, Migration], object], line: str
) -> None:
    with pytest.raises(errors.Refused) as refused:
        verb(database, interrupted)
    assert str(refused.value) == line


def test_a_second_cleanup_at_the_same_time_is_refused(database: Connection, interrupted: Migration) -> None:
    with another(database) as first:
        first.execute("SELECT pg_advisory_lock(hashtextextended('reembed.cleanup', %s))", [interrupted.id])
        with pytest.raises(homecoming.CleanupUnderWay):
            clean_up(database, interrupted)
    clean_up(database, interrupted)


def test_a_view_of_the_companion_is_named_when_the_vectors_are_home(
    database: Connection, switched: Migration
) -> None:
    table = sql.Identifier(str(switched.table.companion))
    database.execute(sql.SQL("CREATE VIEW seen AS SELECT id, embedding_v2 FROM {}").format(table))
    with pytest.raises(homecoming.ViewsOfCompanion) as stopped:
        clean_up(database, switched)
    assert str(stopped.value) == (
        f"All vectors are home, but the table {switched.table.companion} cannot be dropped: public.seen read it. "
        "Point them at embedding of public.documents, then `reembed cleanup` again."
    )
    database.execute("DROP VIEW seen")
    clean_up(database, switched)
    assert installation.wrong_documents(database, DOCUMENTS, columns=HOME) == []
