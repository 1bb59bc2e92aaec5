"""The doctor and what is around the database: processes, Redis, clocks, providers; and the command itself."""

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import redis
from psycopg import sql
from pydantic import SecretStr

from config.settings import Settings
from orchestrator import checks
from orchestrator.doctor import clocks, examination, roll_call
from orchestrator.doctor.finding import Finding
from orchestrator.embedded.provider import EmbeddingServer
from orchestrator.embedded.stack import Stack
from reembed.database.connection import Connection
from tests import installation
from tests.installation import Installation


@pytest.fixture
def found(
    settings: Settings, documents_table: object, broker: object, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Finding]]:
    """Everything that is found, by id."""
    monkeypatch.setattr(roll_call, "_SECONDS", 0.05)

    def look(**more: object) -> dict[str, Finding]:
        return {one.id: one for one in examination.examine(settings.model_copy(update=more))}

    return look


@pytest.fixture
def provider(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    """To be broken; sound again afterwards."""
    monkeypatch.setattr(checks, "_PATIENCE_SECONDS", 0.5)
    yield stack.provider
    stack.provider.recover()
    stack.provider.limit()


Look = Callable[..., dict[str, Finding]]


def test_one_call_tells_width_latency_and_limits(found: Look, provider: EmbeddingServer) -> None:
    assert "announces no limits" in found()["provider.answers"].what
    provider.limit(3_000, 1_000_000)
    before = len(provider.arrivals())
    seen = found(embed_requests_per_minute=5_000, embed_tokens_per_minute=1_000, old_embed_model=None)
    assert len(provider.arrivals()) == before + 1
    assert seen["provider.answers"].what.endswith(
        " ms with 64 dimensions, and announces 3,000 requests and 1,000,000 tokens a minute."
    )
    assert seen["provider.quota"].what == (
        "EMBED_REQUESTS_PER_MINUTE=5000 is more than the provider allows: 3,000 a minute, which counts."
    )
    assert seen["old_model.unset"].severity == "info"


def test_a_provider_that_start_would_stop_at_is_an_error(found: Look, settings: Settings) -> None:
    # The old model is another matter
    same = {"old_openai_base_url": settings.openai_base_url, "old_openai_api_key": settings.openai_api_key}
    broken: dict[str, dict[str, object]] = {
        "provider.key": {"openai_api_key": SecretStr("sk-hidden-and-wrong")},
        "provider.model": {"embed_model": "no-such-model"},
        "provider.unreachable": {"openai_base_url": "http://127.0.0.1:1/v1"},
    }
    for name, change in broken.items():
        seen = found(**same | change)
        assert {one.id for one in seen.values() if one.severity == "error"} == {name}
        assert "hidden" not in str(seen)
        assert "old_model.answers" in seen


def test_a_provider_that_says_no_is_an_error_with_something_to_do(
    found: Look, provider: EmbeddingServer
) -> None:
    refusals: dict[str, tuple[int, str | None]] = {
        "provider.overloaded": (429, None),
        "provider.unavailable": (503, None),
        "provider.quota_spent": (429, "insufficient_quota"),
        "provider.refused": (400, None),
    }
    for name, (status, code) in refusals.items():
        provider.recover()
        provider.fail(status, seconds=60, code=code)
        seen = found(old_embed_model=None)
        assert seen[name].severity == "error"
        assert seen[name].hint
    provider.recover()
    provider.spoil("narrow", seconds=60)
    assert "a vector has 63 dimensions, not 64" in found(old_embed_model=None)["provider.answer"].what


def test_an_old_model_that_is_gone_or_another_is_noticed(found: Look, provider: EmbeddingServer) -> None:
    assert (
        found()["old_model.answers"].what == "lexical-words (32) answers, and made the vectors in embedding."
    )
    assert found(old_embed_model="lexical-ngrams")["old_model.other"].severity == "warning"
    assert "embedding has 32 dimensions" in found(old_embed_dimensions=16)["old_model.other"].what
    provider.retire("lexical-words")
    try:
        assert found()["old_model.silent"].severity == "warning"
    finally:
        provider.restore("lexical-words")


def test_a_refusal_by_the_old_model_quotes_no_document(
    found: Look, provider: EmbeddingServer, database: Connection
) -> None:
    database.execute("UPDATE documents SET content = 'zanzibar ' || content")
    provider.refuse("zanzibar")
    try:
        seen = found()
    finally:
        provider.accept("zanzibar")
    assert seen["old_model.silent"].severity == "warning"
    assert "zanzibar" not in str(seen)


def test_an_old_column_without_a_width_wants_one(found: Look, database: Connection) -> None:
    database.execute("ALTER TABLE documents ALTER embedding TYPE vector")
    assert found(old_embed_dimensions=None)["old_model.width"].severity == "error"


def test_a_redis_that_forgets_by_itself_is_noticed(found: Look, stack: Stack) -> None:
    with redis.Redis.from_url(stack.redis.url()) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "backend.evicts" not in found()
            client.config_set("maxmemory", "100mb")
            assert "(maxmemory-policy allkeys-lru)" in found()["backend.evicts"].what
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")


def test_a_result_backend_that_is_away_is_an_error(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://:hidden@127.0.0.1:1/0")
    seen = found()
    assert seen["backend.unreachable"].severity == "error"
    assert "hidden" not in str(seen)


def test_clocks_that_differ_are_noticed(found: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, says in ((-100, "is 100 s ahead of"), (100, "is 100 s behind")):
        ours = SimpleNamespace(time=lambda seconds=seconds: time.time() + seconds)
        monkeypatch.setattr(clocks, "time", ours)
        seen = found()
        assert f"The clock of the database {says} this machine's." == seen["clock.database"].what
        assert f"The clock of Redis {says} this machine's." == seen["clock.backend"].what


def test_the_command_tells_the_worst_first_and_plan_shows_what_needs_no_provider(
    new_installation: Callable[..., Installation],
) -> None:
    own = new_installation(CELERY_BROKER_URL="redis://:hidden@127.0.0.1:1/0")
    with own.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(20))
        database.execute("ALTER TABLE documents SET (autovacuum_enabled = off)")
        database.execute("ANALYZE documents")
    doctor, plan = own.reembed("doctor"), own.reembed("plan", "--json")
    assert (doctor.code, plan.code) == (2, 0)
    assert doctor.err == (
        "reembed: 1 error would stop `reembed start`, or the migration after it. Mend what is said there, then "
        "`reembed doctor` again.\n"
    )
    lines = doctor.out.splitlines()
    assert lines[0].startswith(
        "error    broker.unreachable: The broker at redis://127.0.0.1:1/0 cannot be reached: "
    )
    assert lines[1] == "         Check CELERY_BROKER_URL."
    assert lines[2].startswith("warning  table.autovacuum: Autovacuum is off for public.documents, ")
    shown = {line.split()[1].rstrip(":") for line in lines if not line.startswith(" ")}
    assert {one["id"] for one in plan.json["findings"]} == shown - {"provider.answers", "old_model.unset"}
    assert "hidden" not in doctor.out + doctor.err + plan.out
