"""The moment between reading the flag and searching, in which everything may change."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from config.settings import Settings
from orchestrator import checks, flag, homecoming, start
from reembed.database import companion, indexes, ledger
from reembed.database import storage as vector_storage
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding.provider import Provider
from reembed.retrieval import Retriever, cache
from tests import installation, steps
from tests.integration.conftest import BOTH_STORAGES

pytestmark = BOTH_STORAGES


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Both models equally wide: a vector of one in the column of the other raises no error."""
    return settings.model_copy(update={"embed_dimensions": installation.OLD_DIMENSIONS})


@pytest.fixture
def ready(database: Connection, settings: Settings, migration: Migration) -> Migration:
    steps.embed(settings, migration, 1, 2, 3)
    steps.walk(database, migration, "indexing", "validating", "ready")
    indexes.build(database, migration, 12)
    return ledger.get(database, migration.id)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Something that happens once, while the first query is being embedded: after the flag was read."""
    embed_query = Provider.embed_query

    def happen(what: Callable[[], None]) -> None:
        todo = [what]

        def slowly(self: Provider, text: str) -> object:
            vector = embed_query(self, text)
            if todo:
                todo.pop()()
            return vector

        monkeypatch.setattr(Provider, "embed_query", slowly)

    return happen


@pytest.mark.parametrize("fixture", ["documents_table", "ready"], ids=["no migration yet", "a migration"])
def test_a_search_on_an_idle_connection_holds_no_transaction_while_the_provider_works_and_none_afterwards(
    request: pytest.FixtureRequest,
    settings: Settings,
    meanwhile: Callable[[Callable[[], None]], None],
    fixture: str,
    storage: str,
) -> None:
    request.getfixturevalue(fixture)
    seen = []
    with psycopg.connect(settings.database) as service, Retriever(settings) as retriever:
        meanwhile(lambda: seen.append(service.info.transaction_status))
        # The first search of a Retriever looks for the table's schema, too
        assert len(retriever.search(service, "words", top_k=3)) == 3
        seen.append(service.info.transaction_status)
    assert seen == [TransactionStatus.IDLE] * 2


def move(database: Connection, settings: Settings, migration: Migration, *verbs: str) -> None:
    for verb in verbs:
        current = ledger.get(database, migration.id)
        if verb == "switch":
            flag.switch(database, current, settings, force=True)
        elif verb == "canary":
            flag.switch(database, current, settings, percent=99, force=True)
        elif verb == "roll back":
            flag.rollback(database, current)
        elif verb == "abort and anew":
            flag.abort(database, current)
        elif verb == "half a cleanup" and current.table.companion:
            homecoming._make_room(database, current, ())
            companion.move(database, ledger.get(database, current.id), after=None, limit=6)
        else:
            flag.cleanup(database, current)


@pytest.mark.parametrize(
    ("before", "between"),
    [
        ((), ("switch", "cleanup")),
        (("switch",), ("cleanup",)),
        ((), ("switch",)),
        ((), ("switch", "half a cleanup")),
        (("switch",), ("half a cleanup",)),
    ],
    ids=["old name, other vectors", "new name gone", "both still there", "half-way home", "still away"],
)
def test_a_search_that_read_the_flag_before_the_names_changed_still_answers_rightly(
    database: Connection,
    settings: Settings,
    ready: Migration,
    meanwhile: Callable[[Callable[[], None]], None],
    before: tuple[str, ...],
    between: tuple[str, ...],
) -> None:
    move(database, settings, ready, *before)
    meanwhile(lambda: move(database, settings, ready, *between))
    query = installation.texts(12)[4]
    with Retriever(settings) as retriever:
        hits = retriever.search(database, query, top_k=1)
    assert [hit.content for hit in hits] == [query]
    # The same text by the same model: anything less was embedded by the other one
    assert hits[0].similarity == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("remembered_from", "between"),
    [
        ("before the ledger", ("switch", "cleanup")),
        ("old", ("switch", "cleanup")),
        ("old", ("switch", "half a cleanup")),
        ("new", ("switch", "cleanup")),
        ("canary", ("switch", "half a cleanup")),
        ("canary", ("abort and anew",)),
    ],
    ids=str,
)
def test_a_flag_that_is_remembered_for_too_long_makes_no_search_wrong(
    request: pytest.FixtureRequest,
    database: Connection,
    settings: Settings,
    documents_table: object,
    monkeypatch: pytest.MonkeyPatch,
    remembered_from: str,
    between: tuple[str, ...],
    storage: str,
) -> None:
    monkeypatch.setattr(cache, "BOUND_SECONDS", 3_600)
    query = installation.texts(12)[4]
    with Retriever(settings) as retriever:

        def first() -> tuple[str, float]:
            (hit,) = retriever.search(database, query, top_k=1, key="key")
            return hit.content, round(hit.similarity, 6)

        if remembered_from == "before the ledger":
            assert first() == (query, 1.0)
        ready: Migration = request.getfixturevalue("ready")
        if remembered_from == "canary":
            move(database, settings, ready, "canary")
        elif remembered_from == "new":
            move(database, settings, ready, "switch")
        assert first() == (query, 1.0)
        if remembered_from == "canary":
            move(database, settings, ready, "roll back")
        elif remembered_from == "new":
            flag.rollback(database, ledger.get(database, ready.id))
        move(database, settings, ready, *between)
        if "abort and anew" in between:
            # Other vectors, as wide, under the name of those that were dropped
            other = settings.model_copy(update={"embed_model": installation.OLD_MODEL})
            started = start.create(database, other, checks.documents_table(database, other))
            vector_storage.expand(database, started)
            if not started.table.companion:
                database.execute("UPDATE documents SET embedding_v2 = embedding, content = content")
        assert first() == (query, 1.0)


def test_a_search_of_an_empty_column_finds_nothing_and_does_not_search_for_ever(
    database: Connection, settings: Settings, ready: Migration
) -> None:
    database.execute("UPDATE documents SET embedding = NULL")
    with Retriever(settings) as retriever:
        assert retriever.search(database, "anything") == []
