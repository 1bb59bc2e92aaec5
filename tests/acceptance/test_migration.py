"""The whole migration, by the command and real workers, as an operator runs it."""

import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from reembed.database import connection
from tests import installation
from tests.installation import Installation

BOTH_STORAGES = pytest.mark.parametrize("storage", ["column", "companion"])


@BOTH_STORAGES
def test_a_migration_from_start_to_cleanup_and_on_to_a_third_model(
    shared: Installation, storage: str
) -> None:
    # Given a table with vectors of the old model, and an old model that still answers
    table = f"whole_{storage}"
    name = sql.Identifier(table)
    environment = {
        "DOCUMENTS_TABLE": table,
        "STORAGE": storage,
        "OLD_EMBED_MODEL": installation.OLD_MODEL,
        "OLD_EMBED_DIMENSIONS": "32",
    }
    with shared.connect() as database:
        installation.make_table(database, name, installation.texts(700))
        old_index = index_names(database, table)

        # When it is planned
        planned = shared.reembed("plan", "--json", **environment)
        # Then the plan says what there is to do, and nothing has changed
        assert (planned.json["documents"], planned.json["chunks"], planned.json["chunk_size"]) == (
            700,
            14,
            50,
        )
        assert "embedding_v2" not in columns_of(database, table)

        # When it is started
        started = shared.reembed("start", "--wait", **environment)
        # Then every document has the vector of its text, and the old column is untouched
        assert started.code == 0, started
        assert "ready" in started.out
        assert installation.wrong_documents(database, name) == []
        assert old_vectors_are_right(database, name)
        status = shared.status(**environment)
        assert (status["state"], status["documents"], status["embedded"], status["pending"]) == (
            "ready",
            700,
            700,
            0,
        )
        assert status["chunks"] == {"pending": 0, "running": 0, "done": 14, "failed": 0}
        assert status["active_column"] == "embedding"
        assert vectors_without_provenance(database, name) == 0

        # When it is judged again
        judged = shared.reembed("validate", "--json", **environment)
        assert judged.code == 0, judged
        assert judged.json["passed"] is True
        assert judged.json["mode"] == "documents"
        assert judged.json["verdict"] == "not_judged"
        low, high = judged.json["overlap_ci95"]
        assert 0.1 < low < judged.json["overlap_mean"] < high < 1

        # When the flag is switched, rolled back and switched again
        assert shared.reembed("switch", **environment).code == 0
        assert shared.status(**environment)["active_column"] == "embedding_v2"
        assert shared.reembed("rollback", **environment).code == 0
        assert shared.status(**environment)["active_column"] == "embedding"
        assert shared.reembed("switch", **environment).code == 0

        # And cleaned up, which nothing does without a yes
        asked = shared.reembed("cleanup", **environment)
        assert (asked.code, "Add --yes if you mean it." in asked.err) == (2, True), asked
        dry = shared.reembed("cleanup", "--dry-run", **environment)
        assert dry.code == 0, dry
        assert installation.wrong_documents(database, name) == []
        assert shared.reembed("cleanup", "--yes", **environment).code == 0
        # Then the table looks as before, with the index under its old name and provenance beside the vector
        assert columns_of(database, table) == {
            "id",
            "content",
            "embedding",
            "embedding_model",
            "embedding_hash",
        }
        assert index_names(database, table) == old_index
        assert triggers_of(database, table) == []
        assert tables_like(database, table) == [table]
        new_column = ("id", "content", "embedding")
        assert installation.wrong_documents(database, name, columns=new_column) == []

        # When the next model is deprecated, too
        third = {
            **environment,
            "EMBED_MODEL": "lexical-words",
            "EMBED_DIMENSIONS": "48",
            "OLD_EMBED_MODEL": "",
        }
        assert shared.reembed("start", "--wait", **third).code == 0
        # Then the second migration works like the first, and knows what made the vectors that it replaces
        assert installation.wrong_documents(database, name, model="lexical-words", dimensions=48) == []
        assert previous_model(database, table) == "lexical-ngrams"
        assert shared.reembed("switch", **third).code == 0
        assert shared.reembed("cleanup", "--yes", **third).code == 0
        assert index_names(database, table) == old_index
        assert tables_like(database, table) == [table]


@BOTH_STORAGES
def test_an_aborted_migration_leaves_the_table_as_it_was_and_a_new_one_can_start(
    shared: Installation, storage: str
) -> None:
    table = f"aborted_{storage}"
    environment = {"DOCUMENTS_TABLE": table, "STORAGE": storage}
    name = sql.Identifier(table)
    with shared.connect() as database:
        installation.make_table(database, name, installation.texts(60))
        before = (
            columns_of(database, table),
            index_names(database, table),
            triggers_of(database, table),
            tables_like(database, table),
        )
        assert shared.reembed("start", "--wait", **environment).code == 0
        aborted = shared.reembed("abort", "--yes", **environment)
        assert aborted.code == 0, aborted
        after = (
            columns_of(database, table),
            index_names(database, table),
            triggers_of(database, table),
            tables_like(database, table),
        )
        assert after == before
        assert shared.reembed("abort", "--yes", **environment).code == 1
        assert shared.reembed("start", "--wait", **environment).code == 0
        assert installation.wrong_documents(database, name) == []


def test_the_old_model_may_die_half_way(new_installation: Callable[..., Installation]) -> None:
    # Given a migration under way while the old model still answers
    own = new_installation(OLD_EMBED_MODEL=installation.OLD_MODEL, OLD_EMBED_DIMENSIONS="32", CHUNK_SIZE="50")
    queries = own.logs / "queries.txt"
    queries.write_text("which worker loses a lease\nwho judges the vector\n")
    with own.connect() as database, own.processes():
        installation.make_table(database, sql.Identifier("documents"), installation.texts(600))
        assert own.reembed("start", "--wait").code == 0
        # Then real queries can be put to both models
        alive = own.reembed("validate", "--json", "--queries", str(queries)).json
        assert (alive["mode"], alive["queries"]) == ("queries", 2)
        try:
            # When the provider retires the old model
            own.stack.provider.retire(installation.OLD_MODEL)
            # Then the judgement falls back on stored vectors, says so, and still passes
            dead = own.reembed("validate", "--json", "--queries", str(queries))
            assert dead.code == 0, dead
            assert (dead.json["mode"], dead.json["queries"]) == ("documents", 400)
            assert "does not serve the model lexical-words" in dead.json["notes"][0]
        finally:
            own.stack.provider.restore(installation.OLD_MODEL)


@BOTH_STORAGES
def test_documents_written_during_the_migration_end_with_the_vector_of_their_text(
    shared: Installation, storage: str
) -> None:
    table = f"lively_{storage}"
    environment = {"DOCUMENTS_TABLE": table, "STORAGE": storage}
    name = sql.Identifier(table)
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(shared.url, autocommit=True) as writer:
            for number in range(1, 10_000):
                if stop.is_set():
                    return
                document = 7 * (number % 40 + 1)
                writer.execute(
                    sql.SQL("UPDATE {} SET content = %s WHERE id = %s").format(name),
                    [f"edited {number} times", document],
                )
                writer.execute(
                    sql.SQL("INSERT INTO {} (id, content) VALUES (%s, %s)").format(name),
                    [10_000 + number, f"new {number}"],
                )
                writer.execute(
                    sql.SQL("DELETE FROM {} WHERE id = %s").format(name), [7 * (number % 40) + 7 * 850]
                )
                time.sleep(0.005)

    with shared.connect() as database:
        installation.make_table(database, name, installation.texts(900))
        writer = threading.Thread(target=write)
        writer.start()
        try:
            started = shared.reembed("start", "--wait", **environment)
        finally:
            stop.set()
            writer.join()
        assert started.code in (0, 1), started
        shared.wait_for(lambda status: status["pending"] == 0, **environment)
        assert installation.wrong_documents(database, name) == []
        # And when it is judged with nobody writing, it passes
        assert shared.reembed("validate", **environment).code == 0
        # Also after the switch
        assert shared.reembed("switch", **environment).code == 0
        database.execute(
            sql.SQL("UPDATE {} SET content = content || ' once more' WHERE id <= 280").format(name)
        )
        shared.wait_for(lambda status: status["pending"] == 0, **environment)
        assert installation.wrong_documents(database, name) == []
        # And whoever goes back is told how many documents that hides
        ((hidden,),) = database.execute(
            sql.SQL("SELECT count(*) FROM {} WHERE embedding IS NULL").format(name)
        ).fetchall()
        assert f"{hidden:,} documents have no old vector" in shared.reembed("rollback", **environment).out


def columns_of(database: connection.Connection, table: str) -> set[str]:
    rows = database.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        [table],
    )
    return {row[0] for row in rows}


def index_names(database: connection.Connection, table: str) -> list[str]:
    rows = database.execute("SELECT indexname FROM pg_indexes WHERE tablename = %s ORDER BY 1", [table])
    return [row[0] for row in rows]


def triggers_of(database: connection.Connection, table: str) -> list[str]:
    return [
        row[0]
        for row in database.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass", [table])
    ]


def old_vectors_are_right(database: connection.Connection, name: sql.Identifier) -> bool:
    wrong = installation.wrong_documents(
        database, name, model=installation.OLD_MODEL, dimensions=32, columns=("id", "content", "embedding")
    )
    return wrong == []


def tables_like(database: connection.Connection, table: str) -> list[str]:
    rows = database.execute("SELECT tablename FROM pg_tables WHERE starts_with(tablename, %s)", [table])
    return sorted(row[0] for row in rows)


def vectors_without_provenance(database: connection.Connection, name: sql.Identifier) -> int:
    row = database.execute(
        sql.SQL(
            "SELECT count(*) FROM {} d JOIN {} v ON v.id = d.id "
            "WHERE (v.embedding_v2 IS NULL) <> (v.embedding_v2_model IS NULL) "
            "OR v.embedding_v2_hash IS DISTINCT FROM md5(d.content)::uuid"
        ).format(name, installation.companion_of(database, name) or name)
    ).fetchone()
    assert row is not None
    return int(row[0])


def previous_model(database: connection.Connection, table: str) -> str:
    row = database.execute(
        "SELECT o.name FROM reembed.migrations m JOIN reembed.models o ON o.id = m.old_model "
        "WHERE m.table_name = %s ORDER BY m.id DESC LIMIT 1",
        [table],
    ).fetchone()
    assert row is not None
    return str(row[0])
