"""Messages that come twice, early or never, and a chunk that nobody survives: the migration still ends, once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from psycopg import sql

from reembed.database import ledger
from reembed.database.connection import Connection
from tests import installation
from tests.installation import Installation

DOCUMENTS = sql.Identifier("documents")
QUEUE = "reembed:reembed.embed"


@pytest.fixture
def own(new_installation: Callable[..., Installation]) -> Iterator[Installation]:
    """400 documents in chunks of 20, embedded ten at a time, slowly enough to interfere."""
    made = new_installation(
        CHUNK_SIZE="20", EMBED_BATCH_SIZE="10", EMBED_CONCURRENCY="2", MAX_CHUNK_ATTEMPTS="2"
    )
    with made.connect() as database:
        installation.make_table(database, DOCUMENTS, installation.texts(400))
    made.stack.provider.set_latency(600)
    try:
        yield made
    finally:
        made.stack.provider.set_latency(0)


def texts_embedded(own: Installation) -> int:
    return own.stack.provider.usage().get(installation.NEW_MODEL, {"texts": 0})["texts"]


def judgements(database: Connection) -> list[int]:
    """How many documents each judgement embedded again."""
    rows = database.execute("SELECT report FROM reembed.validations").fetchall()
    return [report["embedded_again"]["tested"] for (report,) in rows]


def ring_the_bell(own: Installation, times: int) -> None:
    """A chord's body, as Celery would send it, too early."""
    code = (
        f"from config.celery_app import app\nfor _ in range({times}): app.send_task('reembed.advance', [1])"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **own.environment}, check=True, timeout=60
    )


def test_messages_twice_chord_keys_lost_and_bodies_early_end_in_one_judgement_and_nothing_paid_twice(
    own: Installation,
) -> None:
    before = texts_embedded(own)
    with own.processes(workers=2), own.connect() as database:
        assert own.reembed("start").code == 0
        own.wait_for(lambda status: status["chunks"]["running"] > 0)
        # When every message that waits is delivered twice
        with redis.Redis.from_url(own.environment["CELERY_BROKER_URL"]) as broker:
            waiting = broker.lrange(QUEUE, 0, -1)
            assert waiting
            broker.rpush(QUEUE, *waiting)
        # And what Redis counted of the chord is gone
        with redis.Redis.from_url(own.environment["CELERY_RESULT_BACKEND"]) as backend:
            assert backend.dbsize() > 0
            backend.flushdb()
        # And the callback comes three times while chunks are still worked on
        ring_the_bell(own, 3)
        own.stack.provider.set_latency(0)
        own.wait_for(lambda status: status["state"] == "ready")
        assert installation.wrong_documents(database, DOCUMENTS) == []
        (judged_by,) = judgements(database)
    assert texts_embedded(own) - before == 400 + judged_by + 1


def test_two_beats_do_no_harm(own: Installation) -> None:
    before = texts_embedded(own)
    with own.processes(workers=2) as workforce, own.connect() as database:
        workforce.start_beat()
        own.stack.provider.set_latency(50)
        assert own.reembed("start").code == 0
        own.wait_for(lambda status: status["state"] == "ready")
        # Both have their say some times more
        time.sleep(3)
        assert installation.wrong_documents(database, DOCUMENTS) == []
        (judged_by,) = judgements(database)
        assert database.execute("SELECT count(*) FROM reembed.chunks").fetchone() == (20,)
    assert texts_embedded(own) - before == 400 + judged_by + 1


def test_a_chunk_that_kills_its_worker_each_time_ends_as_failed_and_the_others_are_done(
    own: Installation,
) -> None:
    with own.processes(workers=2), own.connect() as database:
        assert own.reembed("start").code == 0
        killed: set[int] = set()
        deadline = time.monotonic() + 60
        # When whoever works on one of the chunks is killed
        while ledger.get(database, 1).state == "backfilling":
            assert time.monotonic() < deadline
            row = database.execute(
                "SELECT attempt, lease_owner FROM reembed.chunks WHERE number = 20 AND state = 'running'"
            ).fetchone()
            if row is not None and row[0] not in killed:
                os.kill(int(row[1].split(":")[1]), signal.SIGKILL)
                killed.add(row[0])
            time.sleep(0.05)
        # Then it has an end, with the reason, and so have the others
        failed = own.status()
        assert failed["state"] == "failed"
        assert failed["chunks"] == {"pending": 0, "running": 0, "done": 19, "failed": 1}
        assert "died or hung" in failed["waiting_for"]
        assert killed == {1, 2}
        # And goes on when a person says so
        own.stack.provider.set_latency(0)
        assert own.reembed("retry").code == 0
        own.wait_for(lambda status: status["state"] == "ready")
        assert installation.wrong_documents(database, DOCUMENTS) == []
