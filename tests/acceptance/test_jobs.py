"""PROVIDER_MODE=batch as an operator has it: real workers, who die, and a provider who takes its time."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from orchestrator.embedded.provider import EmbeddingServer, running
from orchestrator.validation import again
from tests import installation, waiting
from tests.installation import Installation

DOCUMENTS = sql.Identifier("documents")
COUNT = 300
TEXTS = installation.texts(COUNT)
POISON = "river of no return"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddingServer]:
    """A provider that nobody else asks."""
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def own(new_installation: Callable[..., Installation], server: EmbeddingServer) -> Installation:
    made = new_installation(
        PROVIDER_MODE="batch",
        PROVIDER_JOB_LOOK_SECONDS="0.5",
        CHUNK_SIZE="60",
        EMBED_BATCH_SIZE="5",
        EMBED_PRICE_PER_MILLION_TOKENS="100",
        OPENAI_BASE_URL=server.base_url,
        OPENAI_API_KEY=server.api_key,
    )
    with made.connect() as database:
        installation.make_table(database, DOCUMENTS, [*TEXTS[:-1], POISON])
    return made


def test_a_migration_by_jobs_survives_its_workers_and_pays_for_each_text_once(
    own: Installation, server: EmbeddingServer
) -> None:
    # Given a provider that takes its time, has none for all of one job, and refuses one text
    server.hold_jobs(600)
    server.expire_jobs(after=20)
    server.refuse(POISON)
    planned = own.reembed("plan")
    assert "jobs        about 5, 20 at the provider at a time" in planned.out
    assert "of which jobs cost 50%" in planned.out
    assert own.reembed("doctor", "--json").out.count("provider.jobs") == 1
    with own.processes(workers=2) as workforce:
        assert own.reembed("start").code == 0
        status = own.wait_for(lambda status: status["jobs"] == 5)
        assert (status["job_texts"], status["embedded"]) == (COUNT, 0)
        assert re.search(r"job batch_\S+ is at the provider: \d+ of 60 texts answered", status["waiting_for"])
        assert "jobs        5 at the provider, of 300 texts" in own.reembed("status").out
        # When every worker is killed while the provider is at it, documents are written, and other workers come
        for worker in workforce.workers:
            worker.kill()
        with own.connect() as database:
            database.execute("UPDATE documents SET content = 'an edited text' WHERE id = 14")
            database.execute("INSERT INTO documents (id, content) VALUES (1, 'a new text')")
        server.hold_jobs(1)
        for _ in range(2):
            workforce.start_worker(wait=False)
        # Then all have the vector of their text, but for the one that was refused
        ready = own.wait_for(lambda status: status["state"] == "ready")
    assert (ready["embedded"], ready["pending"], ready["failed"]) == (COUNT, 0, 1)
    with own.connect() as database:
        assert installation.wrong_documents(database, DOCUMENTS) == [7 * COUNT]
    assert "safety system" in own.reembed("failures").out
    # And each text was paid for once, by 5 jobs and one for what the expired one left; nothing is left at the provider
    counts = [job["request_counts"] for job in server.jobs()]
    assert len(counts) == 6
    # The edited text may have come in time for the last of them
    assert sum(one["completed"] for one in counts) in (COUNT - 1, COUNT)
    times = [server.times_embedded(text) for text in [*TEXTS[:-1], "an edited text", "a new text"]]
    # The judgement embeds some of them again
    assert min(times) == 1
    assert sum(times) - len(times) <= again.RANDOM + again.SUSPECTS
    assert server.files() == 0
    # At half the price, but for what was not worth a job
    assert ready["cost_usd"] < 0.6 * ready["tokens"] / 10_000


def test_abort_cancels_what_the_provider_still_has(own: Installation, server: EmbeddingServer) -> None:
    server.hold_jobs(600)
    with own.processes(workers=1):
        assert own.reembed("start").code == 0
        own.wait_for(lambda status: status["jobs"] == 5)
        aborted = own.reembed("abort", "--yes")
    assert aborted.code == 0
    assert "5 jobs at the provider were cancelled." in aborted.out
    waiting.until(lambda: {job["status"] for job in server.jobs()} == {"cancelled"})
