"""docs/integration.md runs as it stands: every block, against the real libraries, before and after the switch."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import rows
from psycopg_pool import ConnectionPool
from pydantic import SecretStr
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from orchestrator.embedded.process import CHECKOUT
from orchestrator.embedding_server import models
from reembed.retrieval import Retriever, session, statement
from tests.integration.site import TEXTS, Site

GUIDE = (CHECKOUT / "docs/integration.md").read_text()
BLOCKS = re.findall(r"```(?:python|sql)\n(.*?)```", GUIDE, re.DOTALL)
QUESTION = "how do I rotate a key?"


def block(words: str) -> str:
    """The one block that contains the words."""
    (found,) = [body for body in BLOCKS if words in body]
    return str(found)


def run(words: str) -> dict[str, Any]:
    """The names that a block leaves behind. Its annotations are resolved among them, as in a module."""
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(block(words), "docs/integration.md", "exec"), names)  # noqa: S102
    return names


@pytest.fixture
def environment(ready_site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """What a service has in its environment."""
    names = (
        "database_url", "openai_base_url", "openai_api_key", "embed_model", "embed_dimensions",
        "old_embed_model", "old_embed_dimensions",
    )  # fmt: skip
    for name in names:
        value = getattr(ready_site.settings, name)
        shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        monkeypatch.setenv(name.upper(), shown)
    session._retriever.cache_clear()
    yield ready_site
    session._retriever().close()
    session._retriever.cache_clear()


@pytest.fixture
def pool(environment: Site) -> Iterator[ConnectionPool]:
    with ConnectionPool(environment.url, min_size=1, max_size=2, open=True) as opened:
        yield opened


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def ids(hits: Any) -> list[Any]:
    return [hit.id for hit in hits]


def expected(environment: Site, query: str = QUESTION, top_k: int = 5) -> list[int]:
    with Retriever() as retriever:
        return ids(retriever.search(environment.database, query, top_k))


def test_the_block_for_psycopg(environment: Site, capsys: pytest.CaptureFixture[str]) -> None:
    hits = run("ConnectionPool(os.environ")["hits"]
    assert len(hits) == 5
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_the_playbooks_search_with_one_import(
    environment: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for override in ("false", "true", None):
        if override is None:
            monkeypatch.delenv("USE_V2_EMBEDDINGS")
        else:
            monkeypatch.setenv("USE_V2_EMBEDDINGS", override)
        session._retriever.cache_clear()
        run("from reembed.retrieval.session import search")["engine"].dispose()
        found.append([int(line.split()[0]) for line in capsys.readouterr().out.splitlines()])
        assert found[-1] == expected(environment)
        session._retriever().close()
    session._retriever.cache_clear()
    old, new, flagged = found
    assert flagged == old != new


def test_a_session_searches_in_its_transaction_or_without_holding_a_connection(environment: Site) -> None:
    engine = create_engine(sqlalchemy_url(environment.url))
    with Session(engine) as opened:
        assert session.search(opened, TEXTS[4], 1)[0].content == TEXTS[4]
        # None was under way, none was begun, and the pool has its connection back
        assert not opened.in_transaction()
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        opened.execute(text("UPDATE documents SET weight = 4711 WHERE id = 14"))
        hits = session.search(opened, TEXTS[4], 3, where="weight = %(weight)s", parameters={"weight": 4711})
        assert ids(hits) == [14]
        opened.rollback()
    with engine.connect() as connection, Session(bind=connection) as bound:
        assert session.search(bound, TEXTS[4], 1)[0].content == TEXTS[4]
    engine.dispose()


def test_a_session_with_another_driver_is_told_what_to_write(environment: Site) -> None:
    engine = create_engine("sqlite://")
    with Session(engine) as opened, pytest.raises(session.AnotherDriver) as refused:
        session.search(opened, "words")
    engine.dispose()
    assert str(refused.value) == (
        "The session's driver is sqlite3, and reembed searches with psycopg 3. Write postgresql+psycopg:// in the "
        "engine's URL, or use reembed.retrieval.statement(), which is for any driver."
    )


@pytest.mark.parametrize("switched", [False, True])
def test_the_retriever_for_langchain(environment: Site, pool: ConnectionPool, switched: bool) -> None:
    if switched:
        environment.switch()
    names = run("langchain_core")
    with Retriever() as retriever:
        found = names["FlaggedRetriever"](retriever=retriever, pool=pool).invoke(QUESTION)
    assert [int(document.id) for document in found] == expected(environment)


@pytest.mark.parametrize("switched", [False, True])
def test_the_retriever_for_llama_index(environment: Site, pool: ConnectionPool, switched: bool) -> None:
    if switched:
        environment.switch()
    names = run("llama_index.core")
    with Retriever() as retriever:
        found = names["FlaggedNodes"](retriever, pool).retrieve(QUESTION)
    assert [int(node.node_id) for node in found] == expected(environment)


def embed(words: str, *, model: str, dimensions: int) -> list[float]:
    return [float(value) for value in models.embed(model, [words], dimensions)[0]]


@pytest.mark.parametrize("switched", [False, True])
def test_text_and_parameters_find_the_same_by_any_driver(environment: Site, switched: bool) -> None:
    if switched:
        environment.switch()
    engine = create_engine(sqlalchemy_url(environment.url))
    with Session(engine) as opened:
        assert ids(run("def find(")["find"](opened, embed, QUESTION, 5)) == expected(environment)
    engine.dispose()


@pytest.mark.parametrize("switched", [False, True])
def test_every_style_of_parameters_means_the_same(environment: Site, switched: bool) -> None:
    if switched:
        environment.switch()
    database = environment.database
    row = (
        database.cursor(row_factory=rows.dict_row)
        .execute("SELECT * FROM reembed.flag('documents')")
        .fetchone()
    )
    assert row is not None
    vector = embed(QUESTION, model=row["model_name"], dimensions=row["dimensions"])
    condition: Any = "weight > %(least)s AND content NOT LIKE '%%:x%%' AND id::text <> ':id'"
    asked = {
        style: statement(row, vector, 5, style=style, where=condition, parameters={"least": 70})
        for style in ("pyformat", "named", "numeric")
    }
    engine = create_engine(sqlalchemy_url(environment.url))
    with engine.connect() as connection, psycopg.RawCursor(database) as raw:
        found = [
            connection.exec_driver_sql(asked["pyformat"].text, asked["pyformat"].parameters).all(),
            connection.execute(text(asked["named"].text), asked["named"].parameters).all(),
            raw.execute(asked["numeric"].text, asked["numeric"].parameters).fetchall(),
        ]
    engine.dispose()
    with Retriever() as retriever:
        hits = retriever.search(database, QUESTION, 5, where=condition, parameters={"least": 70})
    for rows_found in found:
        assert [found_row[0] for found_row in rows_found] == ids(hits)


def test_the_select_for_other_languages_and_its_proof(environment: Site) -> None:
    row = environment.database.execute(block("'user-42'")).fetchone()
    assert row is not None
    assert (row[0], row[3], row[9]) == ("old", "embedding", 0)
    vector = str(embed(QUESTION, model=row[6], dimensions=row[7]))
    select_ = block("reembed.era('public'").replace("$1", f"'{vector}'")
    assert ids_of(environment, select_)[:5] == expected(environment)
    assert ids_of(environment, select_.replace("= 0", "= 1")) == []


def ids_of(environment: Site, query: str) -> list[int]:
    return [row[0] for row in environment.database.execute(query).fetchall()]


def test_a_document_is_loaded_by_the_class_of_the_guide_whatever_the_flag_says(environment: Site) -> None:
    document = run("DeclarativeBase")["Document"]
    engine = create_engine(sqlalchemy_url(environment.url))
    for percent in (None, 100):
        if percent:
            environment.switch(percent)
        with Session(engine) as opened:
            loaded = opened.scalars(select(document).where(document.id == 7)).one()
            assert loaded.content == TEXTS[0]
    engine.dispose()
