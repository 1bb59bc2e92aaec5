"""A chunk of one request does not leave a worker's other threads idle: it takes further chunks along."""

import functools
import threading
import time
from collections.abc import Iterator

import pytest

from config.settings import Settings
from orchestrator.embedded.stack import Stack
from reembed.database import chunks, documents, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import steps

_LATENCY_MS = 400


@pytest.fixture
def slow(stack: Stack) -> Iterator[None]:
    """The provider takes its time; restored with the test."""
    stack.provider.set_latency(_LATENCY_MS)
    try:
        yield
    finally:
        stack.provider.set_latency(0)


def done(database: Connection, migration: Migration) -> list[int]:
    rows = database.execute("SELECT number FROM reembed.chunks WHERE state = 'done' ORDER BY number")
    return [row[0] for row in rows]


@pytest.mark.usefixtures("slow")
def test_small_chunks_are_done_together_while_the_provider_takes_its_time(
    stack: Stack, database: Connection, settings: Settings, migration: Migration
) -> None:
    before = len(stack.provider.arrivals())
    steps.embed(settings, migration, 2, concurrency=settings.embed_concurrency)
    assert done(database, migration) == [1, 2, 3]
    assert documents.census(database, migration).embedded == 12
    # Side by side: the last request was sent before the first was answered
    arrived = stack.provider.arrivals()[before:]
    assert len(arrived) == 3
    assert max(arrived) - min(arrived) < _LATENCY_MS / 1_000


@pytest.mark.usefixtures("slow")
def test_no_more_is_in_flight_than_is_set(
    stack: Stack, database: Connection, settings: Settings, migration: Migration
) -> None:
    before = len(stack.provider.arrivals())
    steps.embed(settings, migration, 1, concurrency=2)
    first, second, *rest = stack.provider.arrivals()[before:]
    assert second - first < _LATENCY_MS / 1_000
    assert all(later - first >= _LATENCY_MS / 1_000 for later in rest)


@pytest.mark.usefixtures("slow")
def test_a_chunk_that_struck_is_left_to_its_own_message(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    database.execute("UPDATE reembed.chunks SET strikes = 1 WHERE number = 3")
    steps.embed(settings, migration, 1, concurrency=settings.embed_concurrency)
    assert done(database, migration) == [1, 2]


def test_a_provider_that_answers_at_once_leaves_the_other_chunks_to_other_workers(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, concurrency=settings.embed_concurrency)
    assert done(database, migration) == [1]


@pytest.mark.usefixtures("slow")
def test_chunks_that_were_taken_along_are_given_back_when_the_migration_is_paused(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    one_at_a_time = settings.model_copy(update={"embed_batch_size": 1, "chunk_lease_seconds": 0.3})
    work = functools.partial(steps.embed, one_at_a_time, migration, 1, concurrency=6)
    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 10
    while chunks.count(database, migration.id).running < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ledger.change_state(database, migration, "paused", "an operator paused it")
    thread.join(20)
    counts = chunks.count(database, migration.id)
    assert counts.running == 0
    assert counts.pending > 0
    # What was in flight is not lost
    assert documents.census(database, migration).embedded == counts.embedded > 0
