"""A worker that waits for the provider, and is not wanted any more: it leaves at once, and sends nothing."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from config.settings import Settings
from orchestrator.embedded.stack import Stack
from orchestrator.resume import pause
from reembed.database import chunks, connection
from reembed.database.ledger import Migration
from workers import backfill, drain
from workers.tools import Tools


@pytest.fixture
def waiting(settings: Settings) -> Iterator[Tools]:
    """Tools whose provider has asked everybody for a pause of 20 seconds; a heartbeat each second."""
    tools = Tools(settings.model_copy(update={"chunk_lease_seconds": 3.0}))
    tools.quota("new").pause(20)
    yield tools
    tools.close()
    with redis.Redis.from_url(settings.result_backend) as client:
        client.flushdb()


@pytest.mark.parametrize("why", ["a person pauses the migration", "the worker is asked to stop"])
def test_a_worker_that_waits_out_a_pause_gives_its_chunk_back_at_once_and_sends_nothing(
    stack: Stack, migration: Migration, waiting: Tools, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    asked = len(stack.provider.arrivals())

    def end_it() -> None:
        if why == "the worker is asked to stop":
            monkeypatch.setattr(drain, "requested", lambda: True)
            return
        with connection.connect(waiting.settings.database, "test") as operator:
            pause(operator, migration)

    timer = threading.Timer(1.0, end_it)
    timer.start()
    began = time.monotonic()
    backfill.embed_chunk(waiting, migration.id, 1)
    # Long before the pause ends
    assert time.monotonic() - began < 15
    timer.join()
    assert len(stack.provider.arrivals()) == asked
    counts = waiting.database.call(lambda connection: chunks.count(connection, migration.id))
    assert (counts.pending, counts.running, counts.failed) == (3, 0, 0)
