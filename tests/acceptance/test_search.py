"""Searching through the flag while it moves: no error, and never a vector of one model beside the column of another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from reembed import settings
from reembed.retrieval import Retriever
from tests import installation
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


@contextmanager
def searching_without_pause(
    shared: Installation, environment: settings.Settings, query: str
) -> Iterator[list[int]]:
    """Two threads search all the time, one on a connection of before, one on a new one each time.

    The first hit of every search is the query's own document, or the column and the model did not match.
    """
    stop, found = threading.Event(), [0]
    wrong: list[object] = []

    def search(own_connection: bool) -> None:
        with Retriever(environment) as retriever, psycopg.connect(shared.url, autocommit=True) as lasting:
            while not stop.is_set():
                try:
                    if own_connection:
                        hits = retriever.search(lasting, query, top_k=3)
                    else:
                        with psycopg.connect(shared.url) as fresh:
                            hits = retriever.search(fresh, query, top_k=3)
                    found[0] += 1
                    if [hit.content for hit in hits][:1] != [query] or hits[0].similarity < 0.999:
                        wrong.append([(hit.content, hit.similarity) for hit in hits])
                except Exception as error:
                    wrong.append(repr(error))

    threads = [threading.Thread(target=search, args=(own,)) for own in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


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
    with searching_without_pause(shared, environment, contents[77]) as found:
        assert shared.reembed("start", "--wait", **variables).code == 0
        for verb in (["switch"], ["rollback"], ["switch"], ["cleanup", "--yes"]):
            before = found[0]
            answer = shared.reembed(*verb, **variables)
            assert answer.code == 0, answer
            while found[0] < before + 20:
                threading.Event().wait(0.01)


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
