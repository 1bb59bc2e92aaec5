"""The user's table: what counts as fresh, and what is never overwritten."""

import numpy as np
import psycopg
import pytest
from psycopg import sql

from reembed import errors
from reembed.database import chunks, documents, failures, ledger
from reembed.database.chunks import Claim
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests.integration.conftest import BOTH_STORAGES

pytestmark = BOTH_STORAGES


@pytest.fixture
def claim(database: Connection, migration: Migration) -> Claim:
    """Of the first chunk: documents 7 to 35."""
    found = chunks.claim(database, migration.id, 1, owner="test", lease_seconds=30, max_strikes=3)
    assert found is not None
    return found


def write(
    database: Connection,
    migration: Migration,
    claim: Claim,
    found: list[documents.Document],
    refused: int = 0,
) -> int:
    """Vectors for all but the last `refused` documents, which the provider refuses."""
    accepted = found[: len(found) - refused]
    vectors = np.ones((len(accepted), 64), dtype=np.float32)
    return documents.write_batch(
        database, migration, claim, accepted, vectors, dict.fromkeys(found[len(accepted):], "it is bad"),
        tokens=10, lease_seconds=30,
    )  # fmt: skip


def fetch(database: Connection, migration: Migration, claim: Claim) -> list[documents.Document]:
    return documents.fetch_batch(database, migration, claim, after=None, limit=100)


def vectors(database: Connection, migration: Migration, where: str) -> list[tuple[object, ...]]:
    """Vector, model and hash, wherever they live."""
    query = "SELECT embedding_v2, embedding_v2_model, embedding_v2_hash FROM {} "
    return database.execute(
        sql.SQL(query).format(sql.Identifier(migration.table.vectors)) + sql.SQL(where)
    ).fetchall()


def pending(database: Connection, migration: Migration) -> set[int]:
    rows = database.execute(
        sql.SQL("SELECT d.id FROM documents d {} WHERE {}").format(
            migration.names["joined"], migration.names["pending"]
        )
    ).fetchall()
    return {row[0] for row in rows}


def test_a_batch_is_fetched_in_key_order_and_within_its_chunk(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    first = documents.fetch_batch(database, migration, claim, after=None, limit=3)
    rest = documents.fetch_batch(database, migration, claim, after=first[-1].id, limit=100)
    assert [document.id for document in first + rest] == [7, 14, 21, 28, 35]


def test_vectors_progress_and_refusals_are_committed_together(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    assert write(database, migration, claim, fetch(database, migration, claim), refused=1) == 4
    counts = chunks.count(database, migration.id)
    assert (counts.embedded, counts.tokens) == (4, 10)
    assert database.execute("SELECT document_id, reason FROM reembed.failures").fetchall() == [
        ("35", "it is bad")
    ]
    assert fetch(database, migration, claim) == []


def test_a_text_that_changes_while_its_request_is_in_flight_keeps_no_vector_of_the_old_text(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    # Given a batch whose request is on its way
    in_flight = fetch(database, migration, claim)
    # When one of its texts changes, and another document goes, before the answer is written
    database.execute("UPDATE documents SET content = 'new words' WHERE id = 14")
    database.execute("DELETE FROM documents WHERE id = 21")
    # Then they get nothing, and the changed one is still pending
    assert write(database, migration, claim, in_flight) == 3
    assert [document.content for document in fetch(database, migration, claim)] == ["new words"]


def test_a_worker_without_the_lease_writes_neither_vectors_nor_refusals(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    found = fetch(database, migration, claim)
    chunks.give_back(database, claim)
    with pytest.raises(errors.LeaseLost):
        write(database, migration, claim, found, refused=1)
    assert documents.census(database, migration).embedded == 0
    assert failures.count(database, migration) == 0


def test_a_document_without_text_is_neither_pending_nor_an_error(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    database.execute("UPDATE documents SET content = NULL WHERE id = 7")
    database.execute("UPDATE documents SET content = '' WHERE id = 14")
    assert [document.id for document in fetch(database, migration, claim)] == [21, 28, 35]
    assert documents.census(database, migration).without_text == 2


def test_a_refused_document_waits_for_a_new_text(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    write(database, migration, claim, fetch(database, migration, claim), refused=1)
    assert 35 not in pending(database, migration)
    database.execute("UPDATE documents SET content = 'harmless words' WHERE id = 35")
    assert 35 in pending(database, migration)


WAYS_TO_CHANGE_A_TEXT = {
    "one row": "UPDATE documents SET content = 'changed' WHERE id = 7",
    "several rows": "UPDATE documents SET content = content || '!' WHERE id <= 14",
    "an upsert": (
        "INSERT INTO documents (id, content) VALUES (7, 'changed') "
        "ON CONFLICT (id) DO UPDATE SET content = EXCLUDED.content"
    ),
    "a merge": (
        "MERGE INTO documents d USING (VALUES (7, 'changed')) v(id, content) ON d.id = v.id "
        "WHEN MATCHED THEN UPDATE SET content = v.content"
    ),
}


@pytest.mark.parametrize("statement", WAYS_TO_CHANGE_A_TEXT.values(), ids=list(WAYS_TO_CHANGE_A_TEXT))
def test_a_changed_text_makes_its_vector_stale_and_keeps_it(
    database: Connection, migration: Migration, claim: Claim, statement: str
) -> None:
    write(database, migration, claim, fetch(database, migration, claim))
    database.execute(statement)
    assert 7 in pending(database, migration)
    kept = vectors(database, migration, "WHERE id = 7")
    assert [row[0] is None for row in kept] == [False]


def test_a_text_rewritten_by_another_trigger_is_noticed_though_set_does_not_name_it(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    database.execute("ALTER TABLE documents ADD COLUMN title text")
    database.execute(
        """
        CREATE FUNCTION put_title_first() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.content := NEW.title || ': ' || NEW.content; RETURN NEW; END $$;
        CREATE TRIGGER zzz_last BEFORE UPDATE OF title ON documents
            FOR EACH ROW EXECUTE FUNCTION put_title_first()
        """
    )
    write(database, migration, claim, fetch(database, migration, claim))
    database.execute("UPDATE documents SET title = 'News' WHERE id = 7")
    assert 7 in pending(database, migration)


def test_a_change_that_arrives_by_replication_is_noticed(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    write(database, migration, claim, fetch(database, migration, claim))
    with database.transaction():
        database.execute("SET LOCAL session_replication_role = replica")
        database.execute("UPDATE documents SET content = 'replicated' WHERE id = 7")
    assert 7 in pending(database, migration)


@pytest.mark.parametrize("text", ["''", "NULL"])
def test_a_text_that_is_gone_takes_its_vector_with_it(
    database: Connection, migration: Migration, claim: Claim, text: str
) -> None:
    write(database, migration, claim, fetch(database, migration, claim))
    database.execute("ALTER TABLE documents ALTER content DROP NOT NULL")
    database.execute(sql.SQL("UPDATE documents SET content = {} WHERE id = 7").format(sql.SQL(text)))
    assert vectors(database, migration, "WHERE id = 7") in ([(None, None, None)], [])
    assert database.execute("SELECT embedding IS NULL FROM documents WHERE id = 7").fetchone() == (False,)
    assert 7 not in pending(database, migration)


def test_a_change_of_other_columns_leaves_the_vector_fresh(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    write(database, migration, claim, fetch(database, migration, claim))
    before = pending(database, migration)
    database.execute("UPDATE documents SET embedding = embedding, content = content WHERE id = 7")
    assert pending(database, migration) == before


def test_a_row_that_is_copied_with_its_vector_and_another_text_is_not_taken_for_fresh(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    if migration.table.companion:
        pytest.skip("a document is not copied together with its row in the companion")
    write(database, migration, claim, fetch(database, migration, claim))
    copied = (
        "INSERT INTO documents (id, content, embedding_v2, embedding_v2_model, embedding_v2_hash) "
        "SELECT %s, %s || content, embedding_v2, embedding_v2_model, embedding_v2_hash FROM documents WHERE id = 7"
    )
    database.execute(copied, [1_001, "a copy of "])
    database.execute(copied, [1_002, ""])
    assert pending(database, migration) & {1_001, 1_002} == {1_001}


def test_a_service_that_writes_the_new_vector_itself_is_believed_if_it_names_the_model_and_the_text(
    database: Connection, migration: Migration
) -> None:
    vector = str([1.0] * 64)
    if migration.table.companion:
        companion = sql.Identifier(migration.table.companion)
        # Before the text, or after it; the row is there or not
        database.execute(
            sql.SQL("INSERT INTO {} VALUES (7, %s, %s, md5('mine')::uuid), (14, %s, %s, NULL)").format(
                companion
            ),
            [vector, migration.new_model_id, vector, migration.new_model_id],
        )
        database.execute("UPDATE documents SET content = 'mine' WHERE id IN (7, 14)")
    else:
        with_provenance = (
            "UPDATE documents SET content = 'mine', embedding_v2 = %s, embedding_v2_model = %s, "
            "embedding_v2_hash = md5('mine')::uuid WHERE id = 7"
        )
        database.execute(with_provenance, [vector, migration.new_model_id])
        database.execute("UPDATE documents SET content = 'mine', embedding_v2 = %s WHERE id = 14", [vector])
    assert 7 not in pending(database, migration)
    assert 14 in pending(database, migration)


def test_a_census_finds_what_slipped_past_a_disabled_trigger(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    write(database, migration, claim, fetch(database, migration, claim))
    database.execute('ALTER TABLE documents DISABLE TRIGGER "~reembed"')
    database.execute("UPDATE documents SET content = 'unnoticed' WHERE id = 7")
    assert documents.census(database, migration).stale == 1
    assert documents.mark_pending(database, migration) == 1
    assert 7 in pending(database, migration)


def test_a_census_counts_vectors_that_no_search_can_use(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    write(database, migration, claim, fetch(database, migration, claim))
    table = sql.Identifier(migration.table.vectors)
    spoiled = sql.SQL("UPDATE {} SET embedding_v2 = %s WHERE id = %s").format(table)
    database.execute(spoiled, [str([0.0] * 64), 7])
    database.execute(spoiled, [None, 14])
    assert documents.census(database, migration).invalid == 2
    assert documents.mark_pending(database, migration) == 2
    assert {7, 14} <= pending(database, migration)


def test_what_single_rows_cannot_show_is_counted_over_every_row(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    # Documents 7 and 14 have one text, and so one vector by right
    database.execute("UPDATE documents SET content = 'one text' WHERE id IN (7, 14)")
    found = fetch(database, migration, claim)
    vectors = np.random.default_rng(1).normal(loc=3, size=(5, 64)).astype(np.float32)
    vectors[1] = vectors[0]
    vectors[:, 60:] = 7
    documents.write_batch(database, migration, claim, found, vectors, {}, tokens=10, lease_seconds=30)
    spread = documents.spread(database, migration)
    assert spread.shared == 0
    assert spread.variance == pytest.approx(vectors.astype(np.float64).var(axis=0), abs=1e-5)
    # When another text has that vector as well
    table = sql.Identifier(migration.table.vectors)
    database.execute(
        sql.SQL(
            "UPDATE {0} SET embedding_v2 = (SELECT embedding_v2 FROM {0} WHERE id = 7) WHERE id = 35"
        ).format(table)
    )
    assert documents.spread(database, migration).shared == 3


def test_a_table_has_no_transaction_open_while_a_batch_is_away(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    fetch(database, migration, claim)
    assert database.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_catching_up_plans_only_what_is_pending_and_in_no_chunk_that_is_unfinished_or_was_given_up(
    database: Connection, migration: Migration, claim: Claim
) -> None:
    write(database, migration, claim, fetch(database, migration, claim))
    chunks.finish(database, claim)
    second = chunks.claim(database, migration.id, 2, owner="test", lease_seconds=30, max_strikes=1)
    assert second is not None
    chunks.fail(database, second, error="no", max_strikes=1, retry_seconds=1)
    database.execute("INSERT INTO documents (id, content) VALUES (8, 'between'), (1000, 'after')")
    assert chunks.plan_catch_up(database, ledger.get(database, migration.id)) == 1
    row = database.execute(
        "SELECT first_id, last_id, documents FROM reembed.chunks WHERE catch_up"
    ).fetchone()
    # The chunk that was given up has 42 to 70, and another, still to be worked on, 77 and 84
    assert row == ("8", "1000", 2)
