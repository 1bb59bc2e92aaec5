"""What was answered is paid for: it is written, whatever becomes of its neighbours, and its bill is learned from."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from config.settings import Settings
from orchestrator.embedded.stack import Stack
from reembed.database import chunks, documents, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding.provider import Provider
from reembed.embedding.wire import Embedded
from tests import installation
from workers import backfill
from workers.quota import Quota, Share
from workers.tools import Tools

Embed = Callable[[Provider, Sequence[str]], Embedded]
LONG = "winter harbour bread violin lease " * 12


@pytest.fixture
def paid(stack: Stack) -> Iterator[Callable[[], int]]:
    """Texts that the new model was paid for since the test began."""

    def texts() -> int:
        return stack.provider.usage().get(installation.NEW_MODEL, {"texts": 0})["texts"]

    before = texts()
    yield lambda: texts() - before
    stack.provider.recover()


@pytest.fixture
def on_request(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], None]:
    """Something that happens before each request, given its number from 0 on."""
    embed: Embed = Provider.embed_documents
    lock, numbers = threading.Lock(), iter(range(1_000))

    def listen(happen: Callable[[int], None]) -> None:
        def late(provider: Provider, texts: Sequence[str]) -> Embedded:
            with lock:
                number = next(numbers)
            happen(number)
            return embed(provider, texts)

        monkeypatch.setattr(Provider, "embed_documents", late)

    return listen


@pytest.fixture
def in_one_chunk(database: Connection, planned: Migration) -> Migration:
    """All twelve documents."""
    database.execute("UPDATE reembed.migrations SET chunk_size = 12")
    chunks.plan(database, ledger.get(database, planned.id))
    ledger.change_state(database, ledger.get(database, planned.id), "backfilling")
    return ledger.get(database, planned.id)


def embed(settings: Settings, migration: Migration, **changes: object) -> None:
    tools = Tools(settings.model_copy(update=changes))
    try:
        backfill.embed_chunk(tools, migration.id, 1)
    finally:
        tools.close()


def embedded(database: Connection) -> list[int]:
    rows = database.execute("SELECT id FROM documents WHERE embedding_v2 IS NOT NULL ORDER BY id").fetchall()
    return [key for (key,) in rows]


@pytest.mark.parametrize(
    ("commit_seconds", "others_seconds"),
    [
        pytest.param(0.0, 1.2, id="the others are in flight when the fault is met"),
        pytest.param(1.6, 0.8, id="the others lie answered, behind a commit that takes its time"),
    ],
)
def test_of_eight_requests_in_flight_one_is_refused_the_key_and_the_others_are_committed(
    stack: Stack,
    database: Connection,
    in_one_chunk: Migration,
    settings: Settings,
    paid: Callable[[], int],
    on_request: Callable[[Callable[[int], None]], None],
    monkeypatch: pytest.MonkeyPatch,
    commit_seconds: float,
    others_seconds: float,
) -> None:
    write_batch = documents.write_batch

    def slowly(*arguments: object, **options: object) -> int:
        time.sleep(commit_seconds)
        return write_batch(*arguments, **options)  # type: ignore[arg-type]

    def happen(number: int) -> None:
        # The first is answered, then the second refused, then come the others
        time.sleep({0: 0.0, 1: 0.4}.get(number, others_seconds))
        if number == 1:
            stack.provider.fail(401)

    on_request(happen)
    monkeypatch.setattr(documents, "write_batch", slowly)
    embed(settings, in_one_chunk, embed_concurrency=8, embed_batch_size=1)
    assert ledger.get(database, in_one_chunk.id).state == "paused"
    # Those that lay ready may have been sent as well, in the threads of the first two
    assert paid() >= 7
    assert len(embedded(database)) == paid()


def test_a_batch_of_several_requests_keeps_what_was_answered_before_one_of_them_failed(
    stack: Stack,
    database: Connection,
    migration: Migration,
    settings: Settings,
    paid: Callable[[], int],
    on_request: Callable[[Callable[[int], None]], None],
) -> None:
    # Given two short texts and the beginning of a long one in the first request, and its rest in others
    database.execute("UPDATE documents SET content = %s WHERE id = 21", [LONG])
    database.execute("DELETE FROM documents WHERE id IN (28, 35)")

    def happen(number: int) -> None:
        if number == 1:
            stack.provider.fail(401)

    on_request(happen)
    embed(
        settings, migration,
        embed_concurrency=1, embed_batch_size=3, embed_max_input_tokens=20, embed_overlong="mean",
    )  # fmt: skip
    assert embedded(database) == [7, 14]
    assert paid() == 3
    assert ledger.get(database, migration.id).state == "paused"


def test_what_was_billed_corrects_what_the_next_request_is_estimated_at(
    database: Connection, migration: Migration, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a provider that bills twice what is estimated, and texts of one length
    database.execute("UPDATE documents SET content = chr(96 + id::integer / 7) || repeat(' word', 1000)")
    provider_embeds: Embed = Provider.embed_documents
    take = Quota.take
    billed: list[int] = []
    taken: list[int] = []

    def dearly(provider: Provider, texts: Sequence[str]) -> Embedded:
        answer = provider_embeds(provider, texts)
        billed.append(2 * taken[0])
        return dataclasses.replace(answer, tokens=billed[-1])

    def noted(
        quota: Quota, tokens: int, stop: threading.Event, on_wait: Callable[[str, float], None]
    ) -> Share:
        taken.append(tokens)
        return take(quota, tokens, stop, on_wait)

    monkeypatch.setattr(Provider, "embed_documents", dearly)
    monkeypatch.setattr(Quota, "take", noted)
    # When one request follows the other, and tokens are counted for a quota
    embed(
        settings, migration,
        embed_concurrency=1, embed_batch_size=1, embed_tokens_per_minute=1_000_000_000,
    )  # fmt: skip
    # Then each takes more of it, and the last nearly what it is billed
    assert len(taken) == 5
    assert taken == sorted(set(taken))
    assert taken[-1] > 1.5 * taken[0]
