"""Searching through the flag: one call in threads and in asyncio, on a connection and on a pool, in both storages."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from config.settings import Settings
from orchestrator.embedded.stack import Stack
from orchestrator.embedding_server import models
from reembed.database import flags
from reembed.retrieval import AsyncRetriever, Hit, Retriever, cache, composing, program
from reembed.settings import InvalidSetting
from tests import installation
from tests.integration import site
from tests.integration.site import TEXTS, Site

Search = Callable[..., list[Hit]]


@contextmanager
def threads_connection(url: str, settings: Settings) -> Iterator[Search]:
    with Retriever(settings) as retriever, psycopg.connect(url) as connection:
        yield lambda *asked, **more: retriever.search(connection, *asked, **more)


@contextmanager
def threads_pool(url: str, settings: Settings) -> Iterator[Search]:
    with Retriever(settings) as retriever, ConnectionPool(url, min_size=1, max_size=2, open=True) as pool:
        yield lambda *asked, **more: retriever.search(pool, *asked, **more)


@contextmanager
def asyncio_connection(url: str, settings: Settings) -> Iterator[Search]:
    async def search(*asked: Any, **more: Any) -> list[Hit]:
        async with (
            AsyncRetriever(settings) as retriever,
            await psycopg.AsyncConnection.connect(url) as connection,
        ):
            return await retriever.search(connection, *asked, **more)

    yield lambda *asked, **more: asyncio.run(search(*asked, **more))


@contextmanager
def asyncio_pool(url: str, settings: Settings) -> Iterator[Search]:
    async def search(*asked: Any, **more: Any) -> list[Hit]:
        async with (
            AsyncRetriever(settings) as retriever,
            AsyncConnectionPool(url, min_size=1, max_size=2, open=False) as pool,
        ):
            return await retriever.search(pool, *asked, **more)

    yield lambda *asked, **more: asyncio.run(search(*asked, **more))


WAYS = [threads_connection, threads_pool, asyncio_connection, asyncio_pool]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_to_search_finds_the_same_by_the_same_call_before_and_after_the_switch(
    ready_site: Site, way: Callable[..., Any]
) -> None:
    vectors = {
        model: models.embed(model, TEXTS, site.DIMENSIONS)
        for model in (installation.OLD_MODEL, installation.NEW_MODEL)
    }
    for model in vectors:
        if model == installation.NEW_MODEL:
            ready_site.switch()
        with way(ready_site.url, ready_site.settings) as search:
            hits = search(
                TEXTS[4], 5, where="weight > %(weight)s AND id <> 14", parameters={"weight": Decimal(20)}
            )
        # The oracle: exact search by the model that the flag says
        similarity = vectors[model] @ vectors[model][4]
        similarity[:2] = -1
        best = np.argsort(-similarity, kind="stable")[:5]
        assert hits[0].content == TEXTS[4]
        assert [hit.similarity for hit in hits] == pytest.approx(similarity[best].tolist(), abs=1e-5)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_search_for_itself_sets_what_it_needs_and_leaves_the_callers_settings(
    ready_site: Site, way: Callable[..., Any]
) -> None:
    # Of forty that the index finds, an index that does not go on looking leaves none but a third
    ready_site.switch()
    with way(ready_site.url, ready_site.settings) as search:
        hits = search(TEXTS[4], 20, where="tenant = 'tenant 2'", ef_search=10, probes=1)
    assert len(hits) == 20


def test_the_settings_of_a_callers_transaction_are_as_they_were(ready_site: Site) -> None:
    names = ("hnsw.ef_search", "ivfflat.probes", "hnsw.iterative_scan")
    show = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    with psycopg.connect(ready_site.url) as caller, Retriever(ready_site.settings) as retriever:
        caller.execute("SET LOCAL hnsw.ef_search = 77")
        caller.execute("UPDATE documents SET weight = -1 WHERE id = 7")
        before = caller.execute("SELECT '[1]'::vector").execute(sql.SQL(show)).fetchall()
        hits = retriever.search(caller, TEXTS[0], 60, where="weight = -1", ef_search=10, probes=3)
        assert [hit.id for hit in hits] == [7]
        assert caller.execute(sql.SQL(show)).fetchall() == before
        assert before[0][0] == "77"
        caller.rollback()


def test_a_filter_goes_on_looking_until_it_has_found_enough(ready_site: Site) -> None:
    ready_site.switch()
    where = sql.SQL("tenant = %(tenant)s")
    with (
        psycopg.connect(ready_site.url, autocommit=True) as caller,
        Retriever(ready_site.settings) as retriever,
    ):
        for name in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            caller.execute(sql.SQL("SET {} = off").format(sql.Identifier(name)))
        caller.execute("SET hnsw.ef_search = 2")
        hits = retriever.search(caller, TEXTS[4], 15, where=where, parameters={"tenant": "tenant 1"})
        assert len(hits) == 15
        # Without going on it finds what it looked at, or less
        assert len(retriever.search(caller, TEXTS[4], 15)) < 15


def test_what_a_caller_gives_as_a_parameter_is_never_sql(ready_site: Site) -> None:
    with Retriever(ready_site.settings) as retriever:
        evil = "' OR true; DROP TABLE documents; --"
        found = retriever.search(
            ready_site.database,
            TEXTS[4],
            where="tenant = %(tenant)s -- a comment",
            parameters={"tenant": evil},
        )
        assert found == []
        with pytest.raises(composing.ParameterTaken) as refused:
            retriever.search(ready_site.database, "words", where="true", parameters={"reembed_era": 1})
    assert str(refused.value) == (
        "The parameter reembed_era begins as those of reembed do. Give it a name that does not begin with reembed_."
    )


def test_a_callers_own_mistake_is_told_as_it_is(ready_site: Site) -> None:
    with Retriever(ready_site.settings) as retriever, pytest.raises(psycopg.errors.UndefinedColumn):
        retriever.search(ready_site.database, TEXTS[4], where="no_such_column = 1")


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("dimensions", [32, 3072])
def test_similarity_means_the_same_for_every_metric_and_however_the_column_is_indexed(
    stack: Stack, new_database: Callable[[], str], metric: str, dimensions: int
) -> None:
    name = new_database()
    settings = site.settings_of(stack, name, old_embed_dimensions=dimensions, index_metric=metric)
    vectors = 3 * models.embed(installation.OLD_MODEL, TEXTS[:9], dimensions)
    with psycopg.connect(settings.database) as database:
        database.execute("CREATE TABLE documents (id bigint PRIMARY KEY, content text, embedding vector)")
        database.execute(f"ALTER TABLE documents ALTER embedding TYPE vector({dimensions})")
        for number, vector in enumerate(vectors.tolist()):
            database.execute(
                "INSERT INTO documents VALUES (%s, %s, %s)", [number, TEXTS[number], str(vector)]
            )
        with Retriever(settings) as retriever:
            hits = retriever.search(database, TEXTS[3], 9)
    query = models.embed(installation.OLD_MODEL, [TEXTS[3]], dimensions)[0]
    expected = {
        "cosine": vectors @ query / 3,
        "l2": 1 / (1 + np.linalg.norm(vectors - query, axis=1)),
        "ip": vectors @ query,
    }[metric]
    assert {hit.id: hit.similarity for hit in hits} == pytest.approx(
        dict(enumerate(expected.tolist())), abs=1e-5
    )
    assert [hit.similarity for hit in hits] == sorted(expected.tolist(), reverse=True) or hits == sorted(
        hits, key=lambda hit: -hit.similarity
    )


def test_the_flag_is_read_once_a_second_and_no_more(
    ready_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, of_row = [0], flags.of_row

    def counted(row: Any) -> flags.Flag | None:
        reads[0] += 1
        return of_row(row)

    monkeypatch.setattr(flags, "of_row", counted)
    monkeypatch.setattr(cache, "BOUND_SECONDS", 60)
    with Retriever(ready_site.settings) as retriever:
        for _ in range(5):
            retriever.search(ready_site.database, TEXTS[0])
        assert reads == [1]
        ready_site.switch()
        monkeypatch.setattr(cache, "BOUND_SECONDS", 0)
        reads[0] = 0
        assert retriever.search(ready_site.database, TEXTS[4])[0].content == TEXTS[4]
        assert reads == [1]


def test_one_retriever_serves_the_replicas_of_one_database_and_says_so_of_another(
    ready_site: Site, stack: Stack, new_database: Callable[[], str]
) -> None:
    with Retriever(ready_site.settings) as retriever:
        retriever.search(ready_site.database, TEXTS[0])
        with (
            psycopg.connect(stack.postgres.url(new_database())) as other,
            pytest.raises(program.AnotherDatabase) as refused,
        ):
            retriever.search(other, TEXTS[0])
    assert "This Retriever searches the database" in str(refused.value)


def test_a_service_needs_no_rights_but_those_that_the_guide_names(ready_site: Site) -> None:
    from tests.integration.test_integration_guide import block

    role = sql.Identifier(f"service_{ready_site.database.info.dbname}")
    with psycopg.connect(ready_site.url) as service, Retriever(ready_site.settings) as retriever:
        service.execute(sql.SQL("CREATE ROLE {}").format(role))
        for table in ("documents", ready_site.migration.table.companion):
            if table:
                grant = sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(table), role)
                service.execute(grant)
        service.execute(sql.SQL(block("GRANT").replace("service", role.as_string())))
        service.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
        assert retriever.search(service, TEXTS[4], 1)[0].content == TEXTS[4]
        service.execute("SELECT * FROM reembed.flag('documents', 'key')")
        service.rollback()


def test_what_runs_in_the_background_needs_a_url(ready_site: Site) -> None:
    for wanted in ({"search_background": True}, {"shadow_percent": 1.0}):
        with pytest.raises(InvalidSetting) as refused:
            Retriever(ready_site.with_settings(database_url=None, **wanted))
        name = next(iter(wanted)).upper()
        assert str(refused.value) == (
            f"DATABASE_URL is not set, and {name} needs it. Set it in the environment and try again."
        )
