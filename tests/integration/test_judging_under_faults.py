"""A provider that falters while a migration is judged: waited for, or no judgement at all; never a weaker one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from config.settings import Settings
from orchestrator import tasks
from orchestrator.command import main
from orchestrator.embedded.provider import EmbeddingServer, running
from orchestrator.embedded.stack import Stack
from orchestrator.embedding_server.client import Control
from orchestrator.validation import again, judge
from orchestrator.validation.embedding import NoAnswer
from orchestrator.validation.verdict import Verdict
from reembed.database import ledger, validations
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps
from tests.integration.test_judge import fill

QUERIES = [(str(number), text) for number, text in enumerate(installation.texts(30), start=1)]
JUDGED = {query: {str(7 * int(query)): 1} for query, _ in QUERIES}


@pytest.fixture
def filled(database: Connection, settings: Settings) -> Migration:
    return fill(database, settings, "column")


@pytest.fixture
def provider(stack: Stack) -> Iterator[Control]:
    yield stack.provider
    stack.provider.recover()


@pytest.fixture
def another(tmp_path: Path) -> Iterator[EmbeddingServer]:
    """A provider for one of the two models."""
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def environment(settings: Settings, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The settings as variables, with little patience."""
    for name in ("embed_model", "embed_dimensions", "old_embed_model", "old_embed_dimensions"):
        monkeypatch.setenv(name.upper(), str(getattr(settings, name)))
    for name, value in stack.environment("any").items():
        monkeypatch.setenv(name, value)
    for name in ("DATABASE_URL", "DATABASE_DIRECT_URL"):
        monkeypatch.setenv(name, settings.database)
    monkeypatch.setenv("OLD_OPENAI_BASE_URL", stack.provider.base_url)
    monkeypatch.setenv("OLD_OPENAI_API_KEY", stack.provider.api_key)
    monkeypatch.setenv("PROVIDER_PATIENCE_SECONDS", "0.01")
    return monkeypatch


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"provider_patience_seconds": 0.01})


def in_substance(verdict: Verdict) -> dict[str, object]:
    """What a judgement says, but for what a clock measured."""
    timed = ("latency_ms", "index", "began_at")
    return {name: value for name, value in verdict.as_json().items() if name not in timed}


def test_one_refusal_changes_nothing_in_the_judgement(
    database: Connection, settings: Settings, filled: Migration, provider: Control
) -> None:
    undisturbed = judge.again(database, settings, filled, QUERIES, JUDGED, insist=True)
    assert undisturbed.quality is not None
    # When the first request is told to come later, twice
    provider.fail(429, times=2)
    disturbed = judge.again(database, settings, ledger.get(database, filled.id), QUERIES, JUDGED, insist=True)
    # Then what is waited for is no news
    assert in_substance(disturbed) == in_substance(undisturbed)
    # And no more where the first to be asked is the new model, for the documents that are embedded again
    undisturbed = judge.judge(database, settings, filled)
    provider.fail(429)
    assert in_substance(judge.judge(database, settings, filled)) == in_substance(undisturbed)


def test_a_judgement_asks_in_few_requests_and_these_within_the_quota(
    database: Connection, settings: Settings, filled: Migration, provider: Control
) -> None:
    before = len(provider.arrivals())
    # Given thirty queries in three requests to each model, fifty documents or fewer in five, and 120 requests a minute
    slow = settings.model_copy(update={"embed_batch_size": 10, "embed_requests_per_minute": 120})
    verdict = judge.judge(database, slow, filled, QUERIES)
    arrivals = provider.arrivals()[before:]
    again_in = -(-verdict.again.tested // 10)
    assert len(arrivals) == 3 + 3 + again_in
    # Then those to the new model, which the quota is for, are half a second apart
    to_the_new = arrivals[3:]
    assert to_the_new[-1] - to_the_new[0] >= 0.5 * (len(to_the_new) - 1) - 0.3
    # And without limits one request is enough for each
    before = len(provider.arrivals())
    judge.judge(database, settings, filled, QUERIES)
    assert len(provider.arrivals()) - before == 3


@pytest.mark.parametrize(
    ("endpoint", "model"),
    [
        ("OLD_OPENAI_BASE_URL", "old model lexical-words"),
        ("OPENAI_BASE_URL", "new model lexical-ngrams"),
    ],
)
def test_a_provider_that_still_does_not_answer_ends_the_command_and_says_which(
    database: Connection,
    environment: pytest.MonkeyPatch,
    filled: Migration,
    another: EmbeddingServer,
    tmp_path: Path,
    endpoint: str,
    model: str,
) -> None:
    (tmp_path / "queries").write_text("".join(f"{text}\n" for _, text in QUERIES))
    (tmp_path / "qrels").write_text("".join(f"{query} 0 {7 * int(query)} 1\n" for query, _ in QUERIES))
    environment.setenv(endpoint, another.base_url)
    environment.setenv(endpoint.replace("BASE_URL", "API_KEY"), another.api_key)
    another.fail(503, seconds=60)
    for arguments in (("--qrels", str(tmp_path / "qrels")), ()):
        queries = ("--queries", str(tmp_path / "queries"))
        error = CliRunner().invoke(main.reembed, ["validate", *queries, *arguments]).exception
        assert isinstance(error, NoAnswer)
        assert error.exit_code == 3
        assert str(error).startswith(f"The {model} does not answer, and nothing was judged without it: ")
    # Nothing was stored, and the gate is as it was
    assert validations.every(database, filled.id) == []
    assert ledger.get(database, filled.id).state == "ready"


def test_an_old_model_that_is_gone_is_no_reason_to_pass_without_the_quality_that_was_asked_for(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    away = settings.model_copy(update={"old_openai_base_url": "http://127.0.0.1:1/v1"})
    assert judge.again(database, away, filled, QUERIES, insist=True).mode == "documents"
    with pytest.raises(NoAnswer, match="The old model lexical-words does not answer"):
        judge.again(database, away, filled, QUERIES, JUDGED)


def test_the_control_worker_does_without_an_old_model_but_not_without_the_new_one(
    database: Connection,
    impatient: Settings,
    filled: Migration,
    provider: Control,
    another: EmbeddingServer,
) -> None:
    database.execute("CREATE TABLE searches AS SELECT 'query ' || n AS said FROM generate_series(1, 9) n")
    logged = impatient.model_copy(update={"validation_queries_sql": "SELECT said FROM searches"})
    # When the old model does not answer now, documents are the queries, as where it is gone
    another.fail(503, seconds=60)
    elsewhere = {"old_openai_base_url": another.base_url, "old_openai_api_key": SecretStr(another.api_key)}
    without_old = judge.judge(database, logged.model_copy(update=elsewhere), filled)
    assert without_old.as_json()["mode"] == "documents"
    assert "the old model does not answer, so documents are the queries" in without_old.notes[0]
    assert without_old.again.tested > 0
    # When the new one does not, for now, there is no judgement
    provider.fail(503, seconds=60)
    with pytest.raises(NoAnswer, match="The new model lexical-ngrams does not answer"):
        judge.judge(database, impatient, filled)
    assert len(validations.every(database, filled.id)) == 1


@pytest.mark.usefixtures("broker", "environment")
def test_a_first_judgement_that_cannot_be_made_is_tried_again_by_the_schedule(
    database: Connection, settings: Settings, migration: Migration, provider: Control
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    provider.fail(503, seconds=60)
    tasks.advance(migration.id)
    stuck = ledger.get(database, migration.id)
    assert stuck.state == "validating"
    assert (stuck.reason or "").startswith(
        f"{tasks.STEP_FAILED}: NoAnswer: The new model lexical-ngrams does not answer"
    )
    provider.recover()
    assert tasks.advance(migration.id) == "migration 1: ready"


def test_twenty_random_documents_are_embedded_again_or_all_where_there_are_fewer(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    verdict = judge.judge(database, settings, filled)
    assert 20 <= verdict.again.tested <= again.RANDOM + again.SUSPECTS


def test_all_documents_of_a_small_table_are_embedded_again(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    assert judge.judge(database, settings, migration).again.tested == 12
