"""Texts that are longer than the model takes, and texts that come twice, from the chunk to the ledger."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import progress
from orchestrator.embedded.stack import Stack
from orchestrator.embedding_server import models
from reembed.database import chunks, failures, ledger, overlong
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding import tokens
from workers import backfill
from workers.tools import Tools

LIMIT = 20
LONG = "winter harbour bread violin lease " * 12


@pytest.fixture
def embed(settings: Settings) -> Callable[..., None]:
    """Embeds every chunk of a migration, in this process."""

    @contextmanager
    def opened(**changes: object) -> Iterator[Tools]:
        tools = Tools(settings.model_copy(update={"embed_max_input_tokens": LIMIT, **changes}))
        try:
            yield tools
        finally:
            tools.close()

    def work(migration: Migration, numbers: Sequence[int] = (1, 2, 3), **changes: object) -> None:
        with opened(**changes) as tools:
            for number in numbers:
                backfill.embed_chunk(tools, migration.id, number)

    return work


@pytest.fixture
def long(database: Connection, migration: Migration) -> Migration:
    """Document 7 is too long, and so is 70, of the same text, in another chunk."""
    database.execute("UPDATE documents SET content = %s WHERE id IN (7, 70)", [LONG])
    return migration


def vector(database: Connection, key: int) -> np.ndarray:
    row = database.execute("SELECT embedding_v2 FROM documents WHERE id = %s", [key], binary=True).fetchone()
    assert row is not None
    return np.asarray(row[0])


def test_a_text_that_is_too_long_is_cut_counted_and_listed(
    database: Connection, long: Migration, embed: Callable[..., None]
) -> None:
    embed(long)
    (expected,) = models.embed("lexical-ngrams", [tokens.truncate(LONG, LIMIT)], 64)
    assert vector(database, 7) == pytest.approx(expected, abs=1e-6)
    listed = overlong.find(database, long)
    assert [(one.document_id, one.treatment) for one in listed] == [("7", "truncated"), ("70", "truncated")]
    assert {one.tokens for one in listed} == {tokens.estimate(LONG)}
    status = progress.status(database, long)
    assert (status.overlong, status.pending, status.failed) == (2, 0, 0)
    assert "2 over-long" in status.sentence()


def test_or_embedded_as_the_mean_of_its_parts_by_their_lengths(
    database: Connection, long: Migration, embed: Callable[..., None], stack: Stack
) -> None:
    # Parts that do not go into one request either
    embed(long, embed_overlong="mean", embed_batch_size=2)
    parts = tokens.split(LONG, LIMIT)
    assert "".join(parts) == LONG
    assert len(parts) > 2
    weights = [tokens.estimate(part) for part in parts]
    expected = np.average(models.embed("lexical-ngrams", parts, 64), axis=0, weights=weights)
    assert vector(database, 7) == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    assert np.linalg.norm(vector(database, 7)) == pytest.approx(1, abs=1e-6)
    assert [one.treatment for one in overlong.find(database, long)] == ["averaged", "averaged"]
    assert stack.provider.times_embedded(LONG) == 0


def test_or_recorded_without_asking_the_provider(
    database: Connection, long: Migration, embed: Callable[..., None], stack: Stack
) -> None:
    embed(long, embed_overlong="fail")
    listed = failures.find(database, long)
    assert [one.document_id for one in sorted(listed, key=lambda one: one.document_id)] == ["7", "70"]
    assert {one.reason for one in listed} == {
        f"The text has {tokens.estimate(LONG)} tokens, and EMBED_MAX_INPUT_TOKENS is {LIMIT}. "
        "With EMBED_OVERLONG=truncate or mean, `reembed retry` embeds it."
    }
    assert stack.provider.times_embedded(LONG) == 0
    assert overlong.find(database, long) == []
    assert chunks.count(database, long.id).embedded == 10


def test_a_text_that_becomes_shorter_is_listed_no_more(
    database: Connection, long: Migration, embed: Callable[..., None]
) -> None:
    embed(long)
    database.execute("UPDATE documents SET content = 'short' WHERE id = 7")
    # Until it is embedded again its vector is of the text before
    assert overlong.count(database, long) == 2
    assert chunks.plan_catch_up(database, ledger.get(database, long.id)) == 1
    embed(long, numbers=(4,))
    assert [one.document_id for one in overlong.find(database, long)] == ["70"]
    assert overlong.count(database, long) == 1


def test_a_text_is_sent_once_for_all_its_documents_in_a_chunk_however_far_apart(
    database: Connection, planned: Migration, embed: Callable[..., None], stack: Stack
) -> None:
    """One document a request and four a page: the text comes again on later pages, in flight or written by then."""
    database.execute("UPDATE documents SET content = 'the same words' WHERE id NOT IN (14, 28)")
    database.execute("UPDATE reembed.migrations SET chunk_size = 12")
    migration = ledger.get(database, planned.id)
    chunks.plan(database, migration)
    ledger.change_state(database, migration, "backfilling")
    before = stack.provider.times_embedded("the same words")
    embed(ledger.get(database, planned.id), embed_batch_size=1, embed_concurrency=2)
    assert stack.provider.times_embedded("the same words") == before + 1
    counts = chunks.count(database, planned.id)
    assert (counts.embedded, counts.done) == (12, 1)
    missing = sql.SQL("SELECT count(*) FROM documents d WHERE {}").format(migration.names["pending"])
    assert database.execute(missing).fetchone() == (0,)
    (expected,) = models.embed("lexical-ngrams", ["the same words"], 64)
    for key in (7, 21, 84):
        assert vector(database, key) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("how", "treatment"), [("truncate", "truncated"), ("mean", "averaged")])
def test_a_text_that_is_too_long_is_listed_for_each_of_its_documents_also_where_one_got_a_copy(
    database: Connection,
    migration: Migration,
    embed: Callable[..., None],
    stack: Stack,
    how: str,
    treatment: str,
) -> None:
    """One document a request and one request at a time: the text was answered when it comes again."""
    database.execute("UPDATE documents SET content = %s WHERE id IN (7, 35)", [f"{treatment} {LONG}"])
    embed(migration, (1,), embed_batch_size=1, embed_concurrency=1, embed_overlong=how)
    listed = overlong.find(database, migration)
    assert [(one.document_id, one.treatment) for one in listed] == [("35", treatment), ("7", treatment)]
    assert vector(database, 7) == pytest.approx(vector(database, 35))
    if how == "truncate":
        assert stack.provider.times_embedded(tokens.truncate(f"{treatment} {LONG}", LIMIT)) == 1
