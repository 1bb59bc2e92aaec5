"""PROVIDER_MODE=batch: a chunk goes to the provider's Batch API and comes back, whatever happens meanwhile."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import jobs as given_up
from orchestrator import progress, resume
from orchestrator.embedded.provider import EmbeddingServer
from orchestrator.embedded.stack import Stack
from reembed import errors
from reembed.database import bills, chunks, failures, jobs, ledger, limits
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding.jobs import Jobs
from tests import installation, steps, waiting
from workers import backfill
from workers.jobs import submitting
from workers.jobs.answers import Answers
from workers.tools import Tools

MODEL = "lexical-ngrams"
DOCUMENTS = sql.Identifier("documents")
# The texts of chunk 1, whose keys are 7, 14, 21, 28, 35
FIRST = installation.texts(12)[:5]

Made = Callable[[], list[dict[str, Any]]]
Paid = Callable[[], list[int]]
Count = Callable[[], int]

pytestmark = pytest.mark.usefixtures("nothing_published")


@pytest.fixture
def provider(stack: Stack) -> Iterator[EmbeddingServer]:
    """Sound again after the test."""
    yield stack.provider
    stack.provider.recover()
    stack.provider.hold_jobs(0)


@pytest.fixture
def batch(settings: Settings) -> Settings:
    """What is more than one text goes by a job, and a job is looked at again at once."""
    return settings.model_copy(
        update={"provider_mode": "batch", "embed_batch_size": 1, "provider_job_look_seconds": 0.05}
    )


@pytest.fixture
def directly(provider: EmbeddingServer) -> Count:
    """Requests that were not made by a job since the test began."""
    before = len(provider.arrivals())
    return lambda: len(provider.arrivals()) - before


@pytest.fixture
def paid(provider: EmbeddingServer) -> Paid:
    """How often each text of the first chunk was answered since the test began."""
    before = [provider.times_embedded(text) for text in FIRST]
    return lambda: [
        provider.times_embedded(text) - earlier for text, earlier in zip(FIRST, before, strict=True)
    ]


@pytest.fixture
def made(provider: EmbeddingServer) -> Made:
    """The jobs that the provider was given since the test began, the oldest first."""
    before = len(provider.jobs())
    return lambda: list(reversed(provider.jobs()))[before:]


def embed_once(settings: Settings, migration: Migration, number: int = 1) -> str:
    """What became of a chunk that a worker claimed once."""
    tools = Tools(settings)
    try:
        return backfill.embed_chunk(tools, migration.id, number)
    finally:
        tools.close()


def embed(settings: Settings, migration: Migration, number: int = 1) -> str:
    """What became of it, once nobody waits for the provider any more."""
    return waiting.until(
        lambda: (
            became
            if not (became := embed_once(settings, migration, number)).startswith(("waits", "another"))
            else None
        ),
        seconds=30,
    )


def chunk(database: Connection, migration: Migration, number: int = 1) -> tuple[Any, ...]:
    """Its state, its strikes and what it waits for."""
    ((state, strikes, waiting_for),) = database.execute(
        "SELECT state, strikes, waiting_for FROM reembed.chunks WHERE migration_id = %s AND number = %s",
        [migration.id, number],
    ).fetchall()
    return state, strikes, waiting_for


def embedded(database: Connection) -> list[int]:
    rows = database.execute("SELECT id FROM documents WHERE embedding_v2 IS NOT NULL ORDER BY id")
    return [key for (key,) in rows]


def wrong(database: Connection) -> list[int]:
    """Of the first chunk: documents without the vector of their text."""
    return [key for key in installation.wrong_documents(database, DOCUMENTS) if key <= 35]


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
    said = embed_once(batch, migration)
    (job,) = made()
    assert (
        said
        == f"waits: job {job['id']} is at the provider: 0 of 5 texts answered after 0 min; 0 of 5 documents"
    )
    assert chunk(database, migration)[0] == "pending"
    assert job["id"] in chunk(database, migration)[2]
    status = progress.status(database, migration)
    assert (status.jobs, status.job_texts, status.embedded) == (1, 5, 0)
    # Then it comes back: done, each text once, with nothing asked for directly but the harmless text before it
    assert embed(batch, migration) == "done; 5 of 5 documents"
    assert wrong(database) == []
    assert paid() == [1] * 5
    assert directly() == 1
    assert len(made()) == 1
    # And nothing is left at the provider, neither texts nor vectors
    assert provider.files() == before
    assert progress.status(database, migration).jobs == 0


def test_what_fits_one_request_is_asked_for_at_once(
    database: Connection, batch: Settings, migration: Migration, made: Made
) -> None:
    assert embed_once(batch.model_copy(update={"embed_batch_size": 5}), migration).startswith("done")
    assert made() == []
    assert wrong(database) == []


def test_documents_that_were_written_meanwhile_are_caught_up_with_at_once_and_not_by_a_job(
    database: Connection, batch: Settings, migration: Migration, made: Made
) -> None:
    database.execute("UPDATE reembed.chunks SET catch_up = true WHERE number = 1")
    assert embed_once(batch, migration).startswith("done")
    assert made() == []
    assert wrong(database) == []


def test_a_text_that_changes_while_the_provider_has_it_never_gets_the_old_ones_vector(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    paid: Paid,
) -> None:
    assert embed_once(batch, migration).startswith("waits")
    database.execute("UPDATE documents SET content = 'something else altogether' WHERE id = 14")
    database.execute("UPDATE documents SET content = %s WHERE id = 21", [FIRST[0]])
    database.execute("DELETE FROM documents WHERE id = 28")
    assert embed(batch, migration).startswith("done")
    assert wrong(database) == []
    # A text that came twice was paid for once
    assert paid()[0] == 1
    assert provider.times_embedded("something else altogether") == 1


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
        embed_once(batch, migration)
    monkeypatch.undo()
    # When its lease has run out, another worker goes on
    database.execute("UPDATE reembed.chunks SET lease_until = now() - interval '1 s' WHERE number = 1")
    assert embed(batch, migration).startswith("done")
    # Then it went on with that job, where there was one
    assert len(made()) == 1
    assert paid() == [1] * 5
    assert wrong(database) == []


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
        assert embed_once(batch, migration).startswith("waits")
        return create(self, file, key)

    monkeypatch.setattr(Jobs, "create", be_slow)
    assert "belongs to another worker" in embed_once(batch, migration)
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
    assert embed(batch, migration).startswith("done")
    assert [job["request_counts"]["total"] for job in made()] == [5, 3]
    assert paid() == [1] * 5
    assert wrong(database) == []


def test_jobs_that_answer_nothing_count_against_the_chunk_until_it_is_given_up(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    patient = batch.model_copy(update={"max_chunk_attempts": 2, "rerun_failed_every_seconds": 1})
    provider.expire_jobs(after=0, times=2)
    for strikes in (1, 2):
        assert "the provider answered not one of its texts" in embed(patient, migration)
        assert chunk(database, migration)[:2] == ("failed", strikes)
        database.execute(
            "UPDATE reembed.chunks SET retry_at = now() WHERE number = 1 AND retry_at IS NOT NULL"
        )
        chunks.rerun_failed(database, migration.id, everything=False)
    assert chunks.count(database, migration.id).given_up == 1
    # And a person may have it tried again
    resume.retry(database, ledger.get(database, migration.id))
    assert embed(batch, migration).startswith("done")
    assert wrong(database) == []


def test_requests_that_broke_inside_a_job_are_made_again(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    paid: Paid,
) -> None:
    provider.break_requests(500, times=2)
    provider.break_requests(429, times=1)
    assert embed(batch, migration).startswith("done")
    assert paid() == [1] * 5
    assert failures.count(database, migration) == 0


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
        assert embed(batch, migration).startswith("done")
        (failure,) = failures.find(database, migration)
        assert failure.document_id == "21"
        assert "safety system" in failure.reason
        assert embedded(database) == [7, 14, 28, 35]
        assert directly() == 1
    finally:
        provider.accept(f"number {poison}")


def test_a_provider_that_refuses_every_text_of_a_job_condemns_none(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    provider.break_requests(400, times=5)
    became = embed(batch, migration)
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
    assert embed_once(batch, migration).startswith("waits")
    spoilt = made()[0]["id"]
    # Whichever line it is that is executed next
    provider.spoil("nan", times=1)
    assert "NaN" in embed(batch, migration)
    migration = ledger.get(database, migration.id)
    assert migration.state == "paused"
    assert "NaN" in str(migration.reason)
    assert failures.count(database, migration) == 0
    assert wrong(database) != []
    kept = len(embedded(database))
    assert kept == 4, spoilt
    # And `resume` goes on with what is missing
    resume.resume(database, migration)
    assert embed(batch, migration).startswith("done")
    assert wrong(database) == []


def test_a_provider_that_has_enough_to_do_is_asked_again_later(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    provider.fail_jobs("token_limit_exceeded", "Enqueued token limit reached for lexical-ngrams.", times=1)
    became = embed(batch, migration)
    assert became.startswith("put off: The provider takes no further job now: Enqueued token limit reached")
    assert chunk(database, migration)[:2] == ("pending", 0)
    assert ledger.get(database, migration.id).state == "backfilling"
    resume_at_once(database)
    assert embed(batch, migration).startswith("done")
    assert wrong(database) == []


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
        assert embed_once(batch, migration).startswith("waits")
    else:
        provider.hold_jobs(600)
        assert embed_once(batch, migration).startswith("waits")
        with Tools(batch).provider(migration.new_model, "new") as asked:
            assert Jobs(asked).cancel(made()[0]["id"])
    assert embed(batch, migration).startswith("failed: The provider refuses a job: ")
    provider.hold_jobs(0)
    migration = ledger.get(database, migration.id)
    assert migration.state == "paused"
    assert str(migration.reason).startswith("The provider refuses a job: ")
    resume.resume(database, migration)
    assert embed(batch, migration).startswith("done")
    assert wrong(database) == []


def resume_at_once(database: Connection) -> None:
    """What was put off is due."""
    database.execute("UPDATE reembed.chunks SET retry_at = NULL")


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
    assert embed_once(batch, migration).startswith("waits")
    provider.fail(status, seconds=600, code=code)
    assert embed(batch, migration).startswith(became)
    assert ledger.get(database, migration.id).state == state
    provider.recover()
    if state == "paused":
        resume.resume(database, ledger.get(database, migration.id))
    resume_at_once(database)
    assert embed(batch, migration).startswith("done")
    assert len(made()) == 1
    assert wrong(database) == []


def test_answers_that_break_off_are_downloaded_again(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert embed_once(batch, migration).startswith("waits")
    waiting.until(lambda: made()[0]["status"] == "completed")
    download = Jobs.download

    def break_off(self: Jobs, *arguments: Any) -> None:
        provider.spoil("half", times=1)
        download(self, *arguments)

    monkeypatch.setattr(Jobs, "download", break_off)
    assert embed(batch, migration).startswith(
        "put off: The provider did not answer properly: its answers broke off"
    )
    assert embedded(database) == []
    monkeypatch.undo()
    resume_at_once(database)
    assert embed(batch, migration).startswith("done")
    assert len(made()) == 1
    assert wrong(database) == []


def test_no_more_jobs_are_at_the_provider_than_are_set(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
    directly: Count,
) -> None:
    one = batch.model_copy(update={"provider_jobs": 1})
    provider.hold_jobs(600)
    assert embed_once(one, migration, 1).startswith("waits: job")
    assert "waits: 1 jobs are at the provider, and PROVIDER_JOBS=1" in embed_once(one, migration, 2)
    assert len(made()) == 1
    # Nor was the provider asked anything for the sake of a second
    assert directly() == 1
    provider.hold_jobs(0)
    assert embed(one, migration, 1).startswith("done")
    assert embed(one, migration, 2).startswith("done")
    assert len(made()) == 2


def test_an_open_job_is_followed_whatever_the_mode_is_by_now_and_nobody_takes_its_chunk_along(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    directly: Count,
) -> None:
    direct = batch.model_copy(update={"provider_mode": "direct"})
    assert embed_once(batch, migration).startswith("waits")
    resume_at_once(database)
    assert chunks.claim_next(database, migration.id, "new", owner="another", lease_seconds=30).number == 2  # type: ignore[union-attr]
    assert embed(direct, migration).startswith("done")
    assert directly() == 1
    assert wrong(database) == []


def test_a_job_costs_its_share_of_the_price_in_the_budget_and_on_the_bill(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    before = provider.usage()[MODEL]["tokens"]
    migration = steps.limited(database, migration, tokens=100_000)
    assert embed_once(batch, migration).startswith("waits")
    set_aside = limits.room(database, migration.id)
    assert set_aside.reserved_tokens >= sum(map(len, FIRST)) / 2
    assert embed(batch, migration).startswith("done")
    # The harmless text is one token, and nobody's: it is not charged
    billed = provider.usage()[MODEL]["tokens"] - before - 1
    room = limits.room(database, migration.id)
    assert (room.reserved_tokens, room.spent_tokens) == (0, -(-billed // 2))
    bill = bills.of(database, migration.id)
    assert (bill.new, bill.saved) == (billed, billed // 2)


def test_a_job_is_no_larger_than_the_budget_and_the_migration_pauses_where_nothing_fits(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
) -> None:
    before = provider.usage()[MODEL]["tokens"]
    # For two texts by their bytes, at half the price
    budget = sum(len(text) + 2 for text in FIRST[:2]) // 2 + 1
    migration = steps.limited(database, migration, tokens=budget)
    became = embed(batch, migration)
    assert became.startswith("put off: The budget of")
    assert ledger.get(database, migration.id).state == "paused"
    assert made()[0]["request_counts"]["total"] == 2
    assert 0 < len(embedded(database)) < 5
    assert (provider.usage()[MODEL]["tokens"] - before - len(made())) / 2 <= budget


def test_no_job_is_made_beyond_what_is_to_be_embedded_before_a_look(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    migration = steps.limited(database, migration, until=40)
    provider.hold_jobs(600)
    assert embed_once(batch, migration, 1).startswith("waits: job")
    assert embed_once(batch, migration, 2).startswith("waits: enough for --until is at the provider")
    provider.hold_jobs(0)
    embed(batch, migration, 1)
    assert limits.far_enough(database, migration.id)
    assert ledger.get(database, migration.id).state == "paused"


def test_an_over_long_text_goes_in_parts_and_gets_their_mean_as_by_a_request(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer
) -> None:
    long = batch.model_copy(update={"embed_overlong": "mean", "embed_max_input_tokens": 12})
    database.execute("UPDATE documents SET content = %s WHERE id = 7", [" ".join(FIRST)])
    assert embed(long, migration).startswith("done")
    ((by_job,),) = database.execute("SELECT embedding_v2 FROM documents WHERE id = 7", binary=True).fetchall()
    ((treatment,),) = database.execute(
        "SELECT treatment FROM reembed.overlong WHERE document_id = '7'"
    ).fetchall()
    assert treatment == "averaged"
    database.execute("UPDATE documents SET embedding_v2_model = NULL WHERE id <= 35")
    database.execute("UPDATE reembed.chunks SET state = 'running', lease_until = now() WHERE number = 2")
    database.execute("UPDATE reembed.chunks SET catch_up = true, first_id = '7', last_id = '35', strikes = 0")
    assert embed(long, migration, 2).startswith("done")
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
    assert embed(short, migration).startswith("done")
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
        embed_once(batch.model_copy(update={"embed_batch_size": 5}), migration)
    finally:
        provider.set_latency(0)
    assert [chunk(database, migration, number)[0] for number in (1, 2, 3)] == ["done", "pending", "pending"]


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
    assert embed_once(one, migration).startswith("waits")
    waiting.until(lambda: made()[0]["status"] == "completed")
    of = Answers.of

    def pause(self: Answers, asked: Any) -> Any:
        database.execute("UPDATE reembed.migrations SET state = 'paused' WHERE state = 'backfilling'")
        return of(self, asked)

    with monkeypatch.context() as patched:
        patched.setattr(Answers, "of", pause)
        assert embed(one, migration).startswith("given back")
    assert 0 < len(embedded(database)) < 5
    assert len(jobs.all_open(database, migration.id)) == 1
    resume.resume(database, ledger.get(database, migration.id))
    assert embed(one, migration).startswith("done")
    assert len(made()) == 1
    assert paid() == [1] * 5
    assert wrong(database) == []


@pytest.mark.parametrize("known", [False, True], ids=["never made", "forgotten"])
def test_a_job_that_is_not_at_the_provider_is_charged_only_if_it_ever_was(
    database: Connection, batch: Settings, migration: Migration, provider: EmbeddingServer, known: bool
) -> None:
    before = provider.usage()[MODEL]["tokens"]
    migration = steps.limited(database, migration, tokens=100_000)
    claim = chunks.claim(database, migration.id, 1, owner="me", lease_seconds=30, max_strikes=5)
    assert claim is not None
    lost = jobs.begin(database, claim, uuid.uuid4(), texts=5, reserve=1_000, most=1)
    assert lost is not None
    if known:
        jobs.name(database, claim, lost, "batch_that_is_gone")
    chunks.give_back(database, claim)
    assert embed(batch, migration).startswith("done")
    billed = provider.usage()[MODEL]["tokens"] - before - 1
    room = limits.room(database, migration.id)
    assert (room.reserved_tokens, room.spent_tokens) == (0, -(-billed // 2) + 1_000 * known)
    assert wrong(database) == []


def test_a_file_is_no_larger_than_the_provider_takes(
    database: Connection,
    batch: Settings,
    migration: Migration,
    monkeypatch: pytest.MonkeyPatch,
    made: Made,
) -> None:
    monkeypatch.setattr(submitting, "MOST_TEXTS", 2)
    assert embed(batch, migration).startswith("done")
    assert [job["request_counts"]["total"] for job in made()] == [2, 2]
    assert wrong(database) == []


def test_a_migration_that_is_given_up_cancels_its_jobs(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
) -> None:
    provider.hold_jobs(600)
    embed_once(batch, migration, 1)
    embed_once(batch, migration, 2)
    cancelled, left = given_up.cancel(database, batch, migration)
    assert (len(cancelled), left) == (2, [])
    assert {job["status"] for job in made()} <= {"cancelling", "cancelled"}


def test_a_provider_that_is_away_is_named_with_the_jobs_that_it_still_has(
    database: Connection,
    batch: Settings,
    migration: Migration,
    provider: EmbeddingServer,
    made: Made,
) -> None:
    provider.hold_jobs(600)
    embed_once(batch, migration)
    provider.fail(503, seconds=600)
    cancelled, (left,) = given_up.cancel(database, batch, migration)
    assert cancelled == []
    assert left.name == made()[0]["id"]


def test_two_jobs_of_one_chunk_cannot_be_open(database: Connection, migration: Migration) -> None:
    claim = chunks.claim(database, migration.id, 1, owner="me", lease_seconds=30, max_strikes=5)
    assert claim is not None
    values = "(migration_id, number, key, texts, reserved) VALUES (%s, 1, gen_random_uuid(), 1, 0)"
    database.execute("INSERT INTO reembed.jobs " + values, [migration.id])
    with pytest.raises(Exception, match="one_open_job_per_chunk"):
        database.execute("INSERT INTO reembed.jobs " + values, [migration.id])


def test_only_the_attempt_that_holds_the_chunk_touches_its_job(
    database: Connection, migration: Migration
) -> None:
    claim = chunks.claim(database, migration.id, 1, owner="me", lease_seconds=30, max_strikes=5)
    assert claim is not None
    key = uuid.uuid4()
    job = jobs.begin(database, claim, key, texts=5, reserve=None, most=1)
    assert job is not None
    # Twice does no harm
    assert jobs.begin(database, claim, key, texts=5, reserve=None, most=1) == job
    chunks.give_back(database, claim)
    with pytest.raises(errors.LeaseLost):
        jobs.name(database, claim, job, "batch_1")
    with pytest.raises(errors.LeaseLost):
        jobs.end(database, claim, job, tokens=1, charged=1)
    with pytest.raises(errors.LeaseLost):
        jobs.begin(database, claim, uuid.uuid4(), texts=5, reserve=None, most=2)
    assert jobs.all_open(database, migration.id) == [job]
