"""A Redis that is away while a worker has a quota to keep: nothing is sent, the reason is shown."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from orchestrator import progress
from orchestrator.embedded.redis import Redis
from orchestrator.embedded.stack import Stack
from reembed.database import chunks
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from workers import backfill
from workers.tools import Tools


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.launch()
    server.wait_until_ready()
    yield server
    server.stop()


def test_requests_wait_for_a_redis_that_is_away_and_go_on_when_it_is_back(
    stack: Stack, database: Connection, migration: Migration, settings: Settings, own_redis: Redis
) -> None:
    environment = {
        "celery_result_backend": own_redis.url(),
        "embed_requests_per_minute": 600,
        "embed_batch_size": 1,
        "embed_concurrency": 2,
        "chunk_lease_seconds": 1.5,
    }
    tools = Tools(Settings.model_validate({**settings.model_dump(), **environment}))
    own_redis.kill()
    asked = len(stack.provider.arrivals())
    worker = threading.Thread(target=backfill.embed_chunk, args=(tools, migration.id, 1))
    worker.start()
    try:
        time.sleep(3)
        assert len(stack.provider.arrivals()) == asked
        waiting_for = str(progress.status(database, migration).waiting_for)
        assert waiting_for.startswith(
            "The quota cannot be read from Redis (ConnectionError), and nothing is sent"
        )
        assert "; trying again in " in waiting_for
    finally:
        own_redis.launch()
        own_redis.wait_until_ready()
        worker.join(60)
        tools.close()
    counts = chunks.count(database, migration.id)
    # Its own five documents, and what it took along
    assert len(stack.provider.arrivals()) - asked == counts.embedded >= 5
