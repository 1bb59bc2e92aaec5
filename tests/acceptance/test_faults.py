"""What breaks while a migration runs, and what becomes of it. Each test has processes of its own to break."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
import redis
from psycopg import sql

from reembed.database import validations
from tests import installation, waiting
from tests.installation import Installation

DOCUMENTS = sql.Identifier("documents")
# In which a worker that is told to end leaves: docs/operations.md says so, and grace periods in deploy/ count on it
PROMISED_SECONDS = 10
SLOW_MACHINE_SECONDS = 2
TEXTS = [f"of its own: {text}" for text in installation.texts(600)]


@pytest.fixture
def own(new_installation: Callable[..., Installation]) -> Iterator[Installation]:
    """600 documents in chunks of 50, embedded ten at a time.

    Half a minute's work for one worker: a command that is to meet it at work may take seconds to start.
    """
    made = new_installation(CHUNK_SIZE="50", EMBED_BATCH_SIZE="10", EMBED_CONCURRENCY="2")
    with made.connect() as database:
        installation.make_table(database, DOCUMENTS, TEXTS)
    made.stack.provider.set_latency(1_000)
    try:
        yield made
    finally:
        made.stack.provider.set_latency(0)


def times_embedded(own: Installation) -> int:
    """Of the documents alone: others work beside this, and ask the same provider."""
    return sum(map(own.stack.provider.times_embedded, TEXTS))


@pytest.mark.parametrize("storage", ["column", "companion"])
def test_killing_every_worker_loses_nothing_and_embeds_no_committed_document_twice(
    own: Installation, storage: str
) -> None:
    own.environment["STORAGE"] = storage
    before = times_embedded(own)
    with own.processes(workers=2) as workforce:
        assert own.reembed("start").code == 0
        own.wait_for(lambda status: status["embedded"] >= 100)
        # When every process is killed at once
        workforce.kill()
    killed = own.status()
    assert killed["state"] == "backfilling"
    assert 0 < killed["pending"] < 600
    # And others are started
    own.stack.provider.set_latency(0)
    with own.processes(workers=2):
        finished = own.reembed("start", "--wait")
        assert finished.code == 0, finished
    with own.connect() as database:
        assert installation.wrong_documents(database, DOCUMENTS) == []
        judged = validations.last(database, 1)
        assert judged is not None
        judged_by = judged["report"]["embedded_again"]["tested"]
    # Then only what was in flight was asked for again: two workers, two requests each, ten documents in each
    assert times_embedded(own) - before - judged_by <= 600 + 2 * 2 * 10


def test_a_cleanup_that_is_killed_goes_on_when_it_is_typed_again(own: Installation) -> None:
    own.environment["STORAGE"] = "companion"
    own.stack.provider.set_latency(0)
    home = ("id", "content", "embedding")
    with own.processes(), own.connect() as database:
        assert own.reembed("start", "--wait").code == 0
        assert own.reembed("switch").code == 0
        # Given a cleanup that is half done: an older transaction holds the index up
        with psycopg.connect(own.url) as older:
            older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            older.execute("SELECT 1")
            with own.begin("cleanup", "--yes") as killed:
                half_done = own.wait_for(lambda status: status["state"] == "cleaning")
                # When it is killed, and a text changes
                killed.kill()
                killed.wait()
        assert "`reembed cleanup` goes on" in half_done["waiting_for"]
        assert half_done["active_column"] == "embedding_v2"
        database.execute("UPDATE documents SET content = 'changed meanwhile' WHERE id = 2100")
        # Then another goes on, as soon as the server has noticed, without asking
        deadline = time.monotonic() + 30
        while (again := own.reembed("cleanup")).code == 1:
            assert "Another process is cleaning up" in again.err, again
            assert time.monotonic() < deadline
        assert again.code == 0, again
        assert own.status()["state"] == "cleaned"
        assert installation.wrong_documents(database, DOCUMENTS, columns=home) == []


def test_the_schedule_finishes_a_migration_whose_workers_were_killed(own: Installation) -> None:
    with own.processes() as workforce:
        assert own.reembed("start").code == 0
        own.wait_for(lambda status: status["embedded"] >= 50)
        workforce.kill()
    own.stack.provider.set_latency(0)
    # When only processes are started, and nobody types anything
    with own.processes():
        own.wait_for(lambda status: status["state"] == "ready")
    with own.connect() as database:
        assert installation.wrong_documents(database, DOCUMENTS) == []


def test_the_chunk_of_a_worker_that_was_killed_is_anothers_within_a_lease_and_a_third(
    own: Installation,
) -> None:
    lease = 6
    own.stack.provider.set_latency(3_000)
    # Given a schedule that looks at everything only when all is over, and a second worker, which finds nothing to do
    own.environment |= {"CATCH_UP_EVERY_SECONDS": "600", "CHUNK_LEASE_SECONDS": str(lease)}
    with own.processes() as workforce, own.connect() as database:
        assert own.reembed("start", CHUNK_SIZE="600").code == 0
        own.wait_for(lambda status: status["embedded"] >= 10)
        workforce.start_worker()
        # When the first is killed at its chunk
        workforce.workers[0].kill()
        killed = time.monotonic()
        # Then the second claims it
        taken = "SELECT FROM reembed.chunks WHERE number = 1 AND attempt = 2 AND state = 'running'"
        waiting.until(lambda: database.execute(taken).fetchall(), seconds=60)
        # Five more for a machine that other tests share
        assert time.monotonic() - killed <= lease + lease / 3 + 5


def test_a_migration_survives_the_loss_of_all_that_redis_knew(own: Installation) -> None:
    with own.processes():
        assert own.reembed("start").code == 0
        own.wait_for(lambda status: status["embedded"] >= 50)
        for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
            with redis.Redis.from_url(own.environment[name]) as client:
                client.flushdb()
        own.stack.provider.set_latency(0)
        own.wait_for(lambda status: status["state"] == "ready")
    with own.connect() as database:
        assert installation.wrong_documents(database, DOCUMENTS) == []


@pytest.mark.parametrize("latency", [500, 60_000], ids=["a busy provider", "a provider that hangs"])
def test_a_worker_that_is_asked_to_stop_gives_its_chunk_back_and_leaves_within_seconds(
    own: Installation, latency: int
) -> None:
    with own.processes() as workforce:
        # One chunk, which would take the worker fifteen seconds at least
        assert own.reembed("start", CHUNK_SIZE="600").code == 0
        own.stack.provider.set_latency(latency)
        own.wait_for(lambda status: status["chunks"]["running"] == 1)
        # To the whole group, children included, as honcho and systemd do
        os.killpg(workforce.workers[0].pid, signal.SIGTERM)
        told_at = time.monotonic()
        workforce.workers[0].wait_for_success(60)
        # What is promised, and a little for a machine that other tests share: Celery looks up once a second
        assert time.monotonic() - told_at < PROMISED_SECONDS + SLOW_MACHINE_SECONDS
        status = own.status()
        assert status["state"] == "backfilling"
        assert status["chunks"] == {"pending": 1, "running": 0, "done": 0, "failed": 0}
        assert 0 < status["pending"] <= 600
        # Its attempts are untouched: it left in good order
        with own.connect() as database:
            assert database.execute("SELECT strikes FROM reembed.chunks").fetchall() == [(0,)]


def test_a_wrong_key_stops_the_migration_with_the_reason_and_mending_it_lets_it_go_on(
    own: Installation,
) -> None:
    own.stack.provider.set_latency(0)
    # Given workers that were started with a key that the provider refuses
    good = dict(own.environment)
    own.environment["OPENAI_API_KEY"] = "sk-wrong-and-secret"
    with own.processes():
        assert own.reembed("start", OPENAI_API_KEY=good["OPENAI_API_KEY"]).code == 0
        # Then the migration is paused with the reason, and no document is condemned
        paused = own.wait_for(lambda status: status["state"] == "paused")
        assert "refused the API key" in paused["waiting_for"]
        assert "sk-wrong-and-secret" not in str(paused)
        assert (paused["failed"], paused["embedded"], paused["pending"]) == (0, 0, 600)
        waited = own.reembed("start", "--wait")
        assert waited.code == 1
        assert "reembed resume" in waited.err + waited.out
    # When the key is mended
    own.environment.update(good)
    with own.processes():
        assert own.reembed("resume").code == 0
        own.wait_for(lambda status: status["state"] == "ready")


def test_one_refused_document_is_recorded_with_the_words_of_the_provider_and_the_rest_goes_on(
    own: Installation,
) -> None:
    own.stack.provider.set_latency(0)
    with own.connect() as database, own.processes():
        database.execute("UPDATE documents SET content = 'the poisonous words' WHERE id = 70")
        own.stack.provider.refuse("poisonous")
        finished = own.reembed("start", "--wait")
        assert finished.code == 0, finished
        status = own.status()
        assert (status["failed"], status["pending"], status["embedded"]) == (1, 0, 599)
        rows = database.execute("SELECT document_id, reason FROM reembed.failures").fetchall()
        assert [row[0] for row in rows] == ["70"]
        assert "poisonous" not in rows[0][1]
        (listed,) = own.reembed("failures", "--json").json["failures"]
        assert (listed["id"], listed["reason"]) == rows[0]
        assert installation.wrong_documents(database, DOCUMENTS) == [70]
        # When its text changes, it is embedded like any other
        database.execute("UPDATE documents SET content = 'harmless words' WHERE id = 70")
        own.wait_for(lambda status: status["pending"] == 0 and status["embedded"] == 600)
        assert installation.wrong_documents(database, DOCUMENTS) == []
        assert own.reembed("failures", "--json").json["failures"] == []


def test_a_provider_that_is_overloaded_is_waited_for(own: Installation) -> None:
    own.stack.provider.set_latency(0)
    with own.processes():
        # The check that the model answers meets the first, the workers the rest
        own.stack.provider.fail(429, times=4, headers={"retry-after": "1"}, code="rate_limit_exceeded")
        assert own.reembed("start").code == 0
        own.stack.provider.fail(503, times=4)
        own.wait_for(lambda status: status["state"] == "ready")
    with own.connect() as database:
        assert installation.wrong_documents(database, DOCUMENTS) == []


def test_a_paused_migration_stands_still_until_it_is_resumed(own: Installation) -> None:
    with own.processes():
        # One chunk: the worker must notice within it. Slow enough for a command to be typed meanwhile
        own.stack.provider.set_latency(400)
        assert own.reembed("start", CHUNK_SIZE="600").code == 0
        own.wait_for(lambda status: status["embedded"] >= 20)
        assert own.reembed("pause").code == 0
        still = own.wait_for(lambda status: status["chunks"]["running"] == 0)
        assert still["chunks"]["pending"] == 1
        time.sleep(2)
        assert own.status()["embedded"] == still["embedded"]
        assert still["waiting_for"] == "an operator paused it; `reembed resume` continues"
        own.stack.provider.set_latency(0)
        assert own.reembed("resume").code == 0
        own.wait_for(lambda status: status["state"] == "ready")


def test_ctrl_c_while_waiting_leaves_the_workers_at_work_and_says_how_to_look_again(
    own: Installation,
) -> None:
    with own.processes(), own.begin("start", "--wait") as waiting:
        own.wait_for(lambda status: status["embedded"] >= 20)
        waiting.send_signal(signal.SIGINT)
        out, _err = waiting.communicate(timeout=60)
        assert waiting.returncode == 3, out
        assert "`reembed status --watch` shows them" in out
        own.stack.provider.set_latency(0)
        own.wait_for(lambda status: status["state"] == "ready")


def test_waiting_without_a_worker_says_so_within_seconds_and_goes_on_waiting(own: Installation) -> None:
    own.stack.provider.set_latency(0)
    with own.begin("start", "--wait") as waiting:
        own.wait_for(lambda status: "no worker has taken a chunk" in (status["waiting_for"] or ""))
        with own.processes():
            out, _err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, out
    assert "start one with `celery -A config.celery_app worker -Q reembed.embed`" in out
