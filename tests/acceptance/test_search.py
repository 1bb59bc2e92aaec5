"""Searching through the flag while it moves: no error, and never a vector of one model beside the column of another."""

import threading

import psycopg
import pytest
from psycopg import sql

from reembed import settings
from reembed.retrieval import Retriever
from tests import installation
from tests.acceptance.searchers import searching_without_pause
from tests.installation import Installation


def environment_of(shared: Installation, table: str, **more: str) -> settings.Settings:
    """What a service has in its environment through the whole migration: both models."""
    names = {
        **shared.environment,
        "DOCUMENTS_TABLE": table,
        "OLD_EMBED_MODEL": installation.OLD_MODEL,
        "OLD_EMBED_DIMENSIONS": str(installation.OLD_DIMENSIONS),
        **more,
    }
    return settings.Settings.model_validate({name.lower(): value for name, value in names.items()})


@pytest.mark.parametrize(
    ("dimensions", "storage"), [(32, "column"), (3072, "column"), (32, "companion"), (3072, "companion")]
)
def test_searches_never_fail_and_never_mix_while_the_flag_moves_and_the_old_column_goes(
    shared: Installation, dimensions: int, storage: str
) -> None:
    # With 32 dimensions both columns are equally wide: a mix would raise no error, and be wrong
    table = f"searched_{dimensions}_{storage}"
    variables = {
        "DOCUMENTS_TABLE": table,
        "STORAGE": storage,
        "EMBED_DIMENSIONS": str(dimensions),
        "OLD_EMBED_MODEL": "lexical-words",
    }
    contents = installation.texts(150)
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier(table), contents)
    environment = environment_of(shared, table, EMBED_DIMENSIONS=str(dimensions))
    verbs = (
        ["switch", "--percent", "30"], ["switch"], ["rollback"], ["switch", "--percent", "60"],
        ["switch", "--percent", "10"], ["switch"], ["cleanup", "--yes"],
    )  # fmt: skip
    with searching_without_pause(shared.url, environment, contents[77]) as found:
        assert shared.reembed("start", "--wait", **variables).code == 0
        for verb in verbs:
            answer = shared.reembed(*verb, **variables)
            assert answer.code == 0, answer
            before = list(found)
            while any(now < then + 5 for now, then in zip(found, before, strict=True)):
                threading.Event().wait(0.01)
        shown = shared.status(**variables)
    # Every one of them searched on each side, and the pool's own counts got to the ledger
    assert shown["searches"]["old"]["searches"] > 0
    assert shown["searches"]["new"]["searches"] > 0


@pytest.mark.parametrize("storage", ["column", "companion"])
def test_a_search_is_served_by_the_index_also_where_only_halfvec_can_be_indexed(
    shared: Installation, storage: str
) -> None:
    table = f"indexed_{storage}"
    variables = {"DOCUMENTS_TABLE": table, "EMBED_DIMENSIONS": "3072", "STORAGE": storage}
    contents = installation.texts(200)
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier(table), contents)
        assert shared.reembed("start", "--wait", **variables).code == 0
        assert shared.reembed("switch", **variables).code == 0
        with Retriever(environment_of(shared, table, EMBED_DIMENSIONS="3072")) as retriever:
            # The table is small enough to be sorted
            database.execute("SET enable_seqscan = off")
            database.execute("SET enable_sort = off")
            hits = retriever.search(database, contents[5], top_k=4)
            assert (len(hits), hits[0].content) == (4, contents[5])
            database.execute("SELECT pg_stat_force_next_flush()")
            rows = database.execute(
                "SELECT idx_scan > 0 FROM pg_stat_user_indexes WHERE starts_with(indexrelname, %s)",
                [f"{table}_embedding_v2_idx_"],
            ).fetchall()
            assert rows == [(True,)]


def test_a_service_searches_before_any_migration_was_ever_started(shared: Installation) -> None:
    contents = installation.texts(30)
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier("untouched"), contents)
        with Retriever(environment_of(shared, "untouched")) as retriever:
            assert retriever.search(database, contents[3], top_k=1)[0].content == contents[3]


def test_a_process_can_override_the_flag_for_itself(shared: Installation) -> None:
    contents = installation.texts(60)
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier("overridden"), contents)
        variables = {"DOCUMENTS_TABLE": "overridden", "OLD_EMBED_MODEL": installation.OLD_MODEL}
        assert shared.reembed("start", "--wait", **variables).code == 0
        database.execute("UPDATE overridden SET embedding = NULL")
        for override, hits in (("true", 5), ("false", 0)):
            with Retriever(environment_of(shared, "overridden", USE_V2_EMBEDDINGS=override)) as retriever:
                assert len(retriever.search(database, contents[3], top_k=5)) == hits


def test_a_search_leaves_the_transaction_of_its_caller_as_it_found_it(shared: Installation) -> None:
    with psycopg.connect(shared.url) as caller:
        caller.execute("CREATE TABLE mine (id bigint PRIMARY KEY, content text, embedding vector(32))")
        caller.execute("INSERT INTO mine VALUES (1, 'words', %s)", [str([1.0] * 32)])
        with Retriever(environment_of(shared, "mine")) as retriever:
            assert len(retriever.search(caller, "words")) == 1
        assert caller.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        caller.rollback()
        assert caller.execute("SELECT to_regclass('mine')").fetchall() == [(None,)]
