"""The old column after the switch: which of its vectors a rollback would miss, and how they are made."""

import numpy as np
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import advance
from orchestrator.validation import comparison
from reembed.database import chunks, documents, indexes, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.settings import Model
from tests import installation, steps
from tests.integration.conftest import BOTH_STORAGES
from workers import sides

VECTOR = str([0.5] * installation.OLD_DIMENSIONS)
pytestmark = BOTH_STORAGES


@pytest.fixture
def switched(
    database: Connection, settings: Settings, migration: Migration, nothing_published: None
) -> Migration:
    """Every document embedded, and the flag switched."""
    steps.embed(settings, migration, 1, 2, 3)
    indexes.build_pending(database, migration)
    return steps.walk(database, migration, "indexing", "validating", "ready", "switched")


def catch_up(database: Connection, settings: Settings, migration: Migration) -> None:
    """What schedule and workers do."""
    for _ in range(2):
        advance.advance(database, settings, migration.id)
        waiting = database.execute("SELECT number FROM reembed.chunks WHERE state = 'pending'").fetchall()
        steps.embed(settings, migration, *(row[0] for row in waiting))


def wrong_old_vectors(database: Connection) -> list[int]:
    return installation.wrong_documents(
        database, sql.Identifier("documents"),
        model=installation.OLD_MODEL, dimensions=installation.OLD_DIMENSIONS, columns=("id", "content", "embedding"),
    )  # fmt: skip


def suffering(database: Connection, migration: Migration) -> tuple[int, int]:
    found = documents.count_old_pending(database, migration)
    return found.hidden, found.stale


@pytest.mark.parametrize(
    ("statement", "hidden", "stale"),
    [
        ("INSERT INTO documents (id, content) VALUES (1000, 'new')", 1, 0),
        ("INSERT INTO documents (id, content) VALUES (1000, '')", 0, 0),
        ("UPDATE documents SET content = 'changed' WHERE id = 7", 0, 1),
        (f"UPDATE documents SET content = 'changed', embedding = '{VECTOR}' WHERE id = 7", 0, 0),
        (
            "UPDATE documents SET content = 'changed' WHERE id = 7;"
            f"UPDATE documents SET embedding = '{VECTOR}' WHERE id = 7",
            0,
            0,
        ),
        (
            "UPDATE documents SET content = 'changed' WHERE id = 7;"
            "UPDATE documents SET embedding = embedding WHERE id = 7",
            0,
            1,
        ),
        ("UPDATE documents SET content = content, embedding = embedding WHERE id = 7", 0, 0),
        ("DELETE FROM documents WHERE id = 7", 0, 0),
        (
            "SET session_replication_role = replica;"
            "UPDATE documents SET content = 'changed' WHERE id = 7;"
            "SET session_replication_role = DEFAULT",
            0,
            1,
        ),
    ],
)
def test_a_rollback_knows_which_documents_it_would_hide_and_which_it_would_find_by_an_older_text(
    database: Connection, switched: Migration, statement: str, hidden: int, stale: int
) -> None:
    database.execute(statement)
    assert suffering(database, switched) == (hidden, stale)


def test_an_old_vector_that_was_missing_before_the_migration_is_known_to_be_missing(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    with database.transaction():
        # As it may have been before there was any trigger
        database.execute("ALTER TABLE documents DISABLE TRIGGER USER")
        database.execute("UPDATE documents SET embedding = NULL WHERE id = 7")
        database.execute("ALTER TABLE documents ENABLE TRIGGER USER")
    steps.embed(settings, migration, 1, 2, 3)
    assert suffering(database, migration) == (1, 0)


def test_while_the_old_model_answers_changed_and_new_documents_get_their_old_vector_too(
    database: Connection, settings: Settings, switched: Migration
) -> None:
    database.execute("UPDATE documents SET content = 'changed words' WHERE id = 7")
    database.execute("INSERT INTO documents (id, content) VALUES (1000, 'new words')")
    assert wrong_old_vectors(database) == [7, 1000]
    catch_up(database, settings, switched)
    assert wrong_old_vectors(database) == []
    assert suffering(database, switched) == (0, 0)
    assert documents.count_pending(database, switched) == 0


def test_the_old_column_is_touched_neither_before_the_switch_nor_where_it_is_fresh(
    database: Connection, settings: Settings, switched: Migration
) -> None:
    untouched = "SELECT id, embedding::text, xmin::text FROM documents WHERE id <> 7 ORDER BY id"
    before = database.execute(untouched).fetchall()
    ledger.change_state(database, switched, "ready")
    database.execute("UPDATE documents SET content = 'changed words' WHERE id = 7")
    catch_up(database, settings, switched)
    assert wrong_old_vectors(database) == [7]
    assert database.execute(untouched).fetchall() == before


@pytest.mark.parametrize(
    ("known", "at_hand"),
    [
        (Model("lexical-words", 32), True),
        (Model("lexical-words", 64), False),
        (Model("another", 32), False),
        (None, False),
    ],
)
def test_vectors_of_another_model_never_come_among_the_old_ones(
    settings: Settings, migration: Migration, known: Model | None, at_hand: bool
) -> None:
    object.__setattr__(migration, "old_model", known)
    assert (sides.model(settings, migration, "old") is not None) == at_hand
    assert sides.model(settings, migration, "new") == migration.new_model


def test_an_old_model_that_is_gone_does_not_hold_up_the_new_column_and_is_named(
    database: Connection, settings: Settings, switched: Migration
) -> None:
    gone = settings.model_copy(update={"old_openai_base_url": "http://127.0.0.1:1/v1"})
    database.execute("UPDATE documents SET content = 'changed words' WHERE id = 7")
    catch_up(database, gone, switched)
    assert wrong_old_vectors(database) == [7]
    assert suffering(database, switched) == (0, 1)
    reason = ledger.get(database, switched.id).reason
    assert reason is not None
    assert reason.startswith(
        "the old column is not kept fresh (The provider at http://127.0.0.1:1/v1 cannot be"
    )
    # When another text changes meanwhile
    database.execute("UPDATE documents SET content = 'other words' WHERE id = 14")
    catch_up(database, gone, switched)
    assert installation.wrong_documents(database, sql.Identifier("documents")) == []


def test_an_old_vector_is_guarded_by_the_text_like_a_new_one(
    database: Connection, switched: Migration
) -> None:
    # Given a document whose text changes again while the old model is asked for its vector
    database.execute("UPDATE documents SET content = 'changed words' WHERE id = 7")
    assert chunks.plan_catch_up(database, switched, "old") == 1
    claim = chunks.claim(database, switched.id, 4, owner="test", lease_seconds=30, max_strikes=3)
    assert claim is not None
    assert claim.side == "old"
    in_flight = documents.fetch_batch(database, switched, claim, after=None, limit=10)
    database.execute("UPDATE documents SET content = 'changed once more' WHERE id = 7")
    vectors = np.ones((1, installation.OLD_DIMENSIONS), np.float32)
    written = documents.write_batch(
        database, switched, claim, in_flight, vectors, {}, tokens=1, lease_seconds=30
    )
    assert written == 0
    assert suffering(database, switched) == (0, 1)


def test_the_judgement_compares_no_old_vector_of_another_text(
    database: Connection, switched: Migration
) -> None:
    database.execute("UPDATE documents SET content = 'changed words' WHERE id = 7")
    database.execute(
        sql.SQL(
            "UPDATE {} SET embedding_v2_model = %s, embedding_v2_hash = md5('changed words')::uuid WHERE id = 7"
        ).format(sql.Identifier(switched.table.vectors)),
        [switched.new_model_id],
    )
    assert "7" not in {row.id for row in comparison.sample(database, switched, 12, 100)}
