"""PROVIDER_MODE=batch: a chunk goes to the provider's Batch API and comes back."""

from typing import Any

import pytest

from config.settings import Settings
from orchestrator import progress, resume
from orchestrator.embedded.provider import EmbeddingServer
from reembed.database import chunks, failures, jobs, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import waiting
from tests.integration.jobs import worker
from tests.integration.jobs.worker import FIRST, Count, Made, Paid
from workers.jobs import submitting
from workers.jobs.answers import Answers

pytestmark = pytest.mark.usefixtures("nothing_published")


def test_a_chunk_goes_by_a_job_and_every_text_is_paid_for_once(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    paid: Paid,
    directly: Count,
    made: Made,
) -> None:
    before = provider.files()
    provider.hold_jobs(0.5)
    # When a worker claims the chunk, it makes a job of it and leaves it to the provider, with the reason
    said = worker.embed_once(batch, migration)
    (job,) = made()
    assert (
        said
        == f"waits: job {job['id']} is at the provider: 0 of 5 texts answered after 0 min; 0 of 5 documents"
    )
    assert worker.chunk(database, migration)[0] == "pending"
    assert job["id"] in worker.chunk(database, migration)[2]
    status = progress.status(database, migration)
    assert (status.jobs, status.job_texts, status.embedded) == (1, 5, 0)
    # Then it comes back: done, each text once, with nothing asked for directly but the harmless text before it
    assert worker.embed(batch, migration) == "done; 5 of 5 documents"
    assert worker.wrong(database) == []
    assert paid() == [1] * 5
    assert directly() == 1
    assert len(made()) == 1
    # And nothing is left at the provider, neither texts nor vectors
    assert provider.files() == before
    assert progress.status(database, migration).jobs == 0


def test_what_fits_one_request_is_asked_for_at_once(
    database: Connection, batch: Settings, migration: Migration, made: Made
) -> None:
    assert worker.embed_once(batch.model_copy(update={"embed_batch_size": 5}), migration).startswith("done")
    assert made() == []
    assert worker.wrong(database) == []


def test_documents_that_were_written_meanwhile_are_caught_up_with_at_once_and_not_by_a_job(
    database: Connection, batch: Settings, migration: Migration, made: Made
) -> None:
    database.execute("UPDATE reembed.chunks SET catch_up = true WHERE number = 1")
    assert worker.embed_once(batch, migration).startswith("done")
    assert made() == []
    assert worker.wrong(database) == []


def test_a_text_that_changes_while_the_provider_has_it_never_gets_the_old_ones_vector(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    paid: Paid,
) -> None:
    assert worker.embed_once(batch, migration).startswith("waits")
    database.execute("UPDATE documents SET content = 'something else altogether' WHERE id = 14")
    database.execute("UPDATE documents SET content = %s WHERE id = 21", [FIRST[0]])
    database.execute("DELETE FROM documents WHERE id = 28")
    assert worker.embed(batch, migration).startswith("done")
    assert worker.wrong(database) == []
    # A text that came twice was paid for once
    assert paid()[0] == 1
    assert provider.times_embedded("something else altogether") == 1


def test_a_refused_text_is_recorded_in_the_words_of_the_provider_and_its_siblings_are_written(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    directly: Count,
) -> None:
    poison = FIRST[2].split()[-1]
    provider.refuse(f"number {poison}")
    try:
        assert worker.embed(batch, migration).startswith("done")
        (failure,) = failures.find(database, migration)
        assert failure.document_id == "21"
        assert "safety system" in failure.reason
        assert worker.embedded(database) == [7, 14, 28, 35]
        assert directly() == 1
    finally:
        provider.accept(f"number {poison}")


def test_an_open_job_is_followed_whatever_the_mode_is_by_now_and_nobody_takes_its_chunk_along(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    directly: Count,
) -> None:
    direct = batch.model_copy(update={"provider_mode": "direct"})
    assert worker.embed_once(batch, migration).startswith("waits")
    worker.resume_at_once(database)
    assert chunks.claim_next(database, migration.id, "new", owner="another", lease_seconds=30).number == 2  # type: ignore[union-attr]
    assert worker.embed(direct, migration).startswith("done")
    assert directly() == 1
    assert worker.wrong(database) == []


def test_an_over_long_text_goes_in_parts_and_gets_their_mean_as_by_a_request(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    long = batch.model_copy(update={"embed_overlong": "mean", "embed_max_input_tokens": 12})
    database.execute("UPDATE documents SET content = %s WHERE id = 7", [" ".join(FIRST)])
    assert worker.embed(long, migration).startswith("done")
    ((by_job,),) = database.execute("SELECT embedding_v2 FROM documents WHERE id = 7", binary=True).fetchall()
    ((treatment,),) = database.execute(
        "SELECT treatment FROM reembed.overlong WHERE document_id = '7'"
    ).fetchall()
    assert treatment == "averaged"
    database.execute("UPDATE documents SET embedding_v2_model = NULL WHERE id <= 35")
    database.execute("UPDATE reembed.chunks SET state = 'running', lease_until = now() WHERE number = 2")
    database.execute("UPDATE reembed.chunks SET catch_up = true, first_id = '7', last_id = '35', strikes = 0")
    assert worker.embed(long, migration, 2).startswith("done")
    ((directly,),) = database.execute(
        "SELECT embedding_v2 FROM documents WHERE id = 7", binary=True
    ).fetchall()
    assert by_job == pytest.approx(directly, abs=1e-6)


def test_over_long_texts_that_are_cut_to_the_same_beginning_are_one_line(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
) -> None:
    short = batch.model_copy(update={"embed_max_input_tokens": 4})
    for key, ending in ((7, "and so on"), (14, "or something else")):
        database.execute(
            "UPDATE documents SET content = %s WHERE id = %s", [f"the same beginning of two {ending}", key]
        )
    assert worker.embed(short, migration).startswith("done")
    assert made()[0]["request_counts"]["total"] == 4
    ((vectors,),) = database.execute(
        "SELECT count(DISTINCT embedding_v2) FROM documents WHERE id IN (7, 14)"
    ).fetchall()
    assert vectors == 1


def test_what_is_asked_for_at_once_takes_no_chunk_along_that_would_go_by_a_job(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    provider.set_latency(300)
    try:
        worker.embed_once(batch.model_copy(update={"embed_batch_size": 5}), migration)
    finally:
        provider.set_latency(0)
    assert [worker.chunk(database, migration, number)[0] for number in (1, 2, 3)] == [
        "done",
        "pending",
        "pending",
    ]


def test_a_pause_while_answers_are_read_leaves_the_job_open_for_whoever_resumes(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    paid: Paid,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = batch.model_copy(update={"embed_concurrency": 1})
    assert worker.embed_once(one, migration).startswith("waits")
    waiting.until(lambda: made()[0]["status"] == "completed")
    of = Answers.of

    def pause(self: Answers, asked: Any) -> Any:
        database.execute("UPDATE reembed.migrations SET state = 'paused' WHERE state = 'backfilling'")
        return of(self, asked)

    with monkeypatch.context() as patched:
        patched.setattr(Answers, "of", pause)
        assert worker.embed(one, migration).startswith("given back")
    assert 0 < len(worker.embedded(database)) < 5
    assert len(jobs.all_open(database, migration.id)) == 1
    resume.resume(database, ledger.get(database, migration.id))
    assert worker.embed(one, migration).startswith("done")
    assert len(made()) == 1
    assert paid() == [1] * 5
    assert worker.wrong(database) == []


def test_a_file_is_no_larger_than_the_provider_takes(
    database: Connection,
    batch: Settings,
    migration: Migration,
    monkeypatch: pytest.MonkeyPatch,
    made: Made,
) -> None:
    monkeypatch.setattr(submitting, "MOST_TEXTS", 2)
    assert worker.embed(batch, migration).startswith("done")
    assert [job["request_counts"]["total"] for job in made()] == [2, 2]
    assert worker.wrong(database) == []
