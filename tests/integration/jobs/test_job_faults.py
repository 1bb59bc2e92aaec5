"""Jobs that fail, expire, are lost or forgotten: nothing is lost, nobody condemned, and no text paid for twice."""

from typing import Any

import pytest

from config.settings import Settings
from orchestrator import resume
from orchestrator.embedded.provider import EmbeddingServer
from reembed.database import chunks, failures, jobs, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding.jobs import Jobs
from tests import waiting
from tests.integration.jobs import worker
from tests.integration.jobs.worker import Made, Paid
from workers.tools import Tools

pytestmark = pytest.mark.usefixtures("nothing_published")


@pytest.mark.parametrize("answered", [False, True], ids=["lost on its way there", "lost on its way back"])
def test_a_worker_that_dies_when_it_has_made_a_job_leaves_one_that_is_found(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    paid: Paid,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
    answered: bool,
) -> None:
    class Killed(BaseException):
        """Nothing of ours is run after it."""

    create = Jobs.create

    def die(self: Jobs, file: str, key: str) -> object:
        if answered:
            create(self, file, key)
        raise Killed

    monkeypatch.setattr(Jobs, "create", die)
    with pytest.raises(Killed):
        worker.embed_once(batch, migration)
    monkeypatch.undo()
    # When its lease has run out, another worker goes on
    database.execute("UPDATE reembed.chunks SET lease_until = now() - interval '1 s' WHERE number = 1")
    assert worker.embed(batch, migration).startswith("done")
    # Then it went on with that job, where there was one
    assert len(made()) == 1
    assert paid() == [1] * 5
    assert worker.wrong(database) == []


def test_a_worker_that_lost_its_chunk_while_it_made_a_job_takes_the_job_back(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create = Jobs.create
    provider.hold_jobs(600)

    def be_slow(self: Jobs, file: str, key: str) -> object:
        # Another worker claims the chunk, looks for the job before there is one, and makes its own
        monkeypatch.undo()
        database.execute("UPDATE reembed.chunks SET lease_until = now() - interval '1 s' WHERE number = 1")
        assert worker.embed_once(batch, migration).startswith("waits")
        return create(self, file, key)

    monkeypatch.setattr(Jobs, "create", be_slow)
    assert "belongs to another worker" in worker.embed_once(batch, migration)
    first, second = made()
    assert first["status"] in ("validating", "in_progress")
    assert second["status"] in ("cancelling", "cancelled")
    assert jobs.all_open(database, migration.id)[0].name == first["id"]


def test_what_a_job_had_no_time_for_goes_by_another(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    paid: Paid,
    made: Made,
) -> None:
    provider.expire_jobs(after=2)
    assert worker.embed(batch, migration).startswith("done")
    assert [job["request_counts"]["total"] for job in made()] == [5, 3]
    assert paid() == [1] * 5
    assert worker.wrong(database) == []


def test_jobs_that_answer_nothing_count_against_the_chunk_until_it_is_given_up(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    patient = batch.model_copy(update={"max_chunk_attempts": 2, "rerun_failed_every_seconds": 1})
    provider.expire_jobs(after=0, times=2)
    for strikes in (1, 2):
        assert "the provider answered not one of its texts" in worker.embed(patient, migration)
        assert worker.chunk(database, migration)[:2] == ("failed", strikes)
        database.execute(
            "UPDATE reembed.chunks SET retry_at = now() WHERE number = 1 AND retry_at IS NOT NULL"
        )
        chunks.rerun_failed(database, migration.id, everything=False)
    assert chunks.count(database, migration.id).given_up == 1
    # And a person may have it tried again
    resume.retry(database, ledger.get(database, migration.id))
    assert worker.embed(batch, migration).startswith("done")
    assert worker.wrong(database) == []


def test_requests_that_broke_inside_a_job_are_made_again(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    paid: Paid,
) -> None:
    provider.break_requests(500, times=2)
    provider.break_requests(429, times=1)
    assert worker.embed(batch, migration).startswith("done")
    assert paid() == [1] * 5
    assert failures.count(database, migration) == 0


def test_a_provider_that_refuses_every_text_of_a_job_condemns_none(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    provider.break_requests(400, times=5)
    became = worker.embed(batch, migration)
    assert became.startswith("failed: The provider refuses a job: not one of the 5 texts")
    assert failures.count(database, migration) == 0
    assert ledger.get(database, migration.id).state == "paused"


def test_a_false_answer_stops_the_migration_keeps_the_others_and_is_asked_for_again(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
) -> None:
    provider.hold_jobs(0.3)
    assert worker.embed_once(batch, migration).startswith("waits")
    spoilt = made()[0]["id"]
    # Whichever line it is that is executed next
    provider.spoil("nan", times=1)
    assert "NaN" in worker.embed(batch, migration)
    migration = ledger.get(database, migration.id)
    assert migration.state == "paused"
    assert "NaN" in str(migration.reason)
    assert failures.count(database, migration) == 0
    assert worker.wrong(database) != []
    kept = len(worker.embedded(database))
    assert kept == 4, spoilt
    # And `resume` goes on with what is missing
    resume.resume(database, migration)
    assert worker.embed(batch, migration).startswith("done")
    assert worker.wrong(database) == []


def test_a_provider_that_has_enough_to_do_is_asked_again_later(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    provider.fail_jobs("token_limit_exceeded", "Enqueued token limit reached for lexical-ngrams.", times=1)
    became = worker.embed(batch, migration)
    assert became.startswith("put off: The provider takes no further job now: Enqueued token limit reached")
    assert worker.chunk(database, migration)[:2] == ("pending", 0)
    assert ledger.get(database, migration.id).state == "backfilling"
    worker.resume_at_once(database)
    assert worker.embed(batch, migration).startswith("done")
    assert worker.wrong(database) == []


@pytest.mark.parametrize("how", ["refused", "cancelled"])
def test_a_job_that_is_refused_or_cancelled_stops_the_migration_until_a_person_resumes(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
    how: str,
) -> None:
    if how == "refused":
        provider.fail_jobs("invalid_json_line", "This line is not parseable as valid JSON.", times=1)
        assert worker.embed_once(batch, migration).startswith("waits")
    else:
        provider.hold_jobs(600)
        assert worker.embed_once(batch, migration).startswith("waits")
        with Tools(batch).provider(migration.new_model, "new") as asked:
            assert Jobs(asked).cancel(made()[0]["id"])
    assert worker.embed(batch, migration).startswith("failed: The provider refuses a job: ")
    provider.hold_jobs(0)
    migration = ledger.get(database, migration.id)
    assert migration.state == "paused"
    assert str(migration.reason).startswith("The provider refuses a job: ")
    resume.resume(database, migration)
    assert worker.embed(batch, migration).startswith("done")
    assert worker.wrong(database) == []


@pytest.mark.parametrize(
    ("status", "code", "became", "state"),
    [
        (503, None, "put off: ", "backfilling"),
        (429, "rate_limit_exceeded", "put off: ", "backfilling"),
        (401, "invalid_api_key", "failed: ", "paused"),
        (402, "insufficient_quota", "failed: ", "paused"),
    ],
)
def test_a_provider_that_fails_while_it_has_a_job_loses_nothing(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
    status: int,
    code: str | None,
    became: str,
    state: str,
) -> None:
    assert worker.embed_once(batch, migration).startswith("waits")
    provider.fail(status, seconds=600, code=code)
    assert worker.embed(batch, migration).startswith(became)
    assert ledger.get(database, migration.id).state == state
    provider.recover()
    if state == "paused":
        resume.resume(database, ledger.get(database, migration.id))
    worker.resume_at_once(database)
    assert worker.embed(batch, migration).startswith("done")
    assert len(made()) == 1
    assert worker.wrong(database) == []


def test_answers_that_break_off_are_downloaded_again(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert worker.embed_once(batch, migration).startswith("waits")
    waiting.until(lambda: made()[0]["status"] == "completed")
    download = Jobs.download

    def break_off(self: Jobs, *arguments: Any) -> None:
        provider.spoil("half", times=1)
        download(self, *arguments)

    monkeypatch.setattr(Jobs, "download", break_off)
    assert worker.embed(batch, migration).startswith(
        "put off: The provider did not answer properly: its answers broke off"
    )
    assert worker.embedded(database) == []
    monkeypatch.undo()
    worker.resume_at_once(database)
    assert worker.embed(batch, migration).startswith("done")
    assert len(made()) == 1
    assert worker.wrong(database) == []
