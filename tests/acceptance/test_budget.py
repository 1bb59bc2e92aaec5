"""What a migration may cost, and how far it goes before a person looks: by two workers and what the provider counts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from orchestrator.checks import PROBE
from orchestrator.embedded.provider import EmbeddingServer, running
from orchestrator.embedding_server import models
from tests import installation
from tests.installation import NEW_MODEL, Installation

DOCUMENTS = sql.Identifier("documents")
# Ten thousand tokens for a dollar
PRICE = "100"
# Signs are tokens: what a request may cost is not much more than what it does, and many of them fit into the budget
TEXTS = [f"{text} {'?!;:' * 10}" for text in installation.texts(800)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddingServer]:
    """A provider that nobody else asks, and that takes its time: much is in flight at any moment."""
    with running(tmp_path) as made:
        made.set_latency(300)
        yield made


def test_two_workers_pause_before_the_budget_is_passed_and_at_a_share_and_finish_with_a_higher_one(
    new_installation: Callable[..., Installation], server: EmbeddingServer
) -> None:
    own = new_installation(
        CHUNK_SIZE="50",
        EMBED_BATCH_SIZE="10",
        EMBED_CONCURRENCY="8",
        CHUNK_LEASE_SECONDS="6",
        EMBED_PRICE_PER_MILLION_TOKENS=PRICE,
        OPENAI_BASE_URL=server.base_url,
        OPENAI_API_KEY=server.api_key,
    )
    probe = models.count_tokens(PROBE)
    most = 10 * (max(map(len, TEXTS)) + 2) / 10_000

    def paid() -> float:
        """Dollars, by the provider's own count, without the question whether it answers."""
        return (server.usage()[NEW_MODEL]["tokens"] - probe) / 10_000

    with own.connect() as database:
        installation.make_table(database, DOCUMENTS, TEXTS)
    with own.processes(workers=2):
        # When the budget is less than what both may have in flight at a time
        stopped = own.reembed("start", "--wait", "--budget", "0.3")
        # Then no more is paid for, and less only by what one request may cost at the most
        assert stopped.code == 3, stopped
        assert "Migration 1 is paused: The budget of 0.30 USD has no room for another request." in stopped.err
        paused = own.wait_for(lambda status: status["chunks"]["running"] == 0)
        assert 0.3 - most < paid() <= 0.3
        assert (paused["state"], paused["budget_usd"]) == ("paused", 0.3)
        assert paused["cost_usd"] == pytest.approx(paid())
        assert 0 < paused["embedded"] < 800

        # And to resume is refused without a higher one
        useless = own.reembed("resume")
        assert (useless.code, useless.err) == (
            1,
            "reembed: The budget of 0.30 USD of migration 1 has no room for another request. "
            "`reembed resume --budget USD` raises it.\n",
        )

        # When it goes on as far as to have a look, and nobody waits for it
        assert own.reembed("resume", "--budget", "50", "--until", "30").code == 0
        looked = own.wait_for(lambda status: status["state"] == "paused" and not status["chunks"]["running"])
        # Then it is one round further at the most: what each may have in flight, ready and to be committed
        assert 240 <= looked["embedded"] <= 240 + 2 * 2 * 8 * 10
        assert looked["waiting_for"].endswith("with --until 30; `reembed resume` goes on")

        # And then to the end, the judgement's questions among what it costs
        server.set_latency(0)
        assert own.reembed("resume").code == 0
        finished = own.wait_for(lambda status: status["state"] == "ready")
        assert finished["cost_usd"] == pytest.approx(paid())
    with own.connect() as database:
        assert installation.wrong_documents(database, DOCUMENTS) == []
