"""The loop of batches: requests never wait for commits, and a worker that leaves takes its queue back."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from config.settings import Settings
from reembed.database import chunks
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding.provider import Provider
from reembed.embedding.wire import Embedded
from workers import backfill
from workers.tools import Tools


def embedded(texts: Sequence[str]) -> Embedded:
    return Embedded(np.ones((len(texts), 64), dtype=np.float32), 0)


def test_the_next_request_leaves_before_the_last_answer_is_committed(
    database: Connection, migration: Migration, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given one request in flight at a time, of one document each."""
    second_asked = threading.Event()
    asked: list[Sequence[str]] = []

    def embed(_: Provider, texts: Sequence[str]) -> Embedded:
        asked.append(texts)
        if len(asked) == 2:
            second_asked.set()
        return embedded(texts)

    def commit(work: backfill._Work, result: object) -> None:
        # Then the second does not wait for the commit of the first
        assert second_asked.wait(10)

    monkeypatch.setattr(Provider, "embed_documents", embed)
    monkeypatch.setattr(backfill._Work, "_commit_apart", commit)
    tools = Tools(settings.model_copy(update={"embed_concurrency": 1, "embed_batch_size": 1}))
    backfill.embed_chunk(tools, migration.id, 1)
    tools.close()
    assert len(asked) == 5


def test_a_paused_worker_asks_for_nothing_more_and_leaves_the_rest_of_its_chunk_pending(
    database: Connection, migration: Migration, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = threading.Event()
    asked: list[Sequence[str]] = []

    def embed(_: Provider, texts: Sequence[str]) -> Embedded:
        asked.append(texts)
        paused.wait(10)
        return embedded(texts)

    def renew(*_: object, **__: object) -> bool:
        # The first heartbeat comes after the first answer; let the others in flight finish only then
        paused.set()
        return False

    monkeypatch.setattr(Provider, "embed_documents", embed)
    monkeypatch.setattr(chunks, "renew", renew)
    tools = Tools(settings.model_copy(update={"embed_concurrency": 1, "embed_batch_size": 1}))
    backfill.embed_chunk(tools, migration.id, 1)
    tools.close()
    # One was in flight and is paid for; the four that were ready are given back with the chunk
    assert len(asked) == 1
    counts = chunks.count(database, migration.id)
    assert (counts.embedded, counts.pending) == (1, 3)  # all three chunks of the migration
