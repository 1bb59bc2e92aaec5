"""What a migration of any size asks of the provider, the broker and the ledger."""

import pytest

from orchestrator import planning
from orchestrator.dispatch import OUTSTANDING, WAVE


@pytest.mark.parametrize(
    ("documents", "size"),
    [
        (1, 50),
        (100, 50),
        (1_000, 50),
        (10_000, 500),
        (10**6, 2_000),
        (10**7, 5_000),
        (10**8, 10_000),
        (10**9, 20_000),
    ],
)
def test_a_chunk_grows_with_the_table(documents: int, size: int) -> None:
    assert planning.chunk_size(documents) == size


def load(documents: int, tokens_each: int = 200) -> planning.Load:
    return planning.Load(documents, documents * tokens_each, planning.chunk_size(documents), 500, 250_000)


def test_a_billion_documents_are_fifty_thousand_rows_of_the_ledger_in_waves_of_two_thousand() -> None:
    billion = load(10**9)
    assert (billion.chunks, billion.waves(WAVE)) == (50_000, 25)


def test_what_a_billion_documents_ask_of_the_broker_is_what_a_hundred_million_do() -> None:
    billion, tenth = load(10**9), load(10**8)
    assert billion.messages(WAVE) == 50_000 + 25
    assert (
        billion.broker_bytes(OUTSTANDING) == tenth.broker_bytes(OUTSTANDING) == 4_000 * planning.MESSAGE_BYTES
    )
    assert billion.broker_bytes(OUTSTANDING) < 20e6
    assert load(100).broker_bytes(OUTSTANDING) == 2 * planning.MESSAGE_BYTES


def test_requests_are_bounded_by_documents_by_tokens_and_by_chunks() -> None:
    assert planning.Load(10_000, 10_000 * 100, 500, 500, 250_000).requests == 20
    assert planning.Load(10_000, 10_000 * 1_000, 500, 500, 250_000).requests == 40
    assert planning.Load(10_000, 10_000, 50, 500, 250_000).requests == 200


@pytest.mark.parametrize(
    ("requests_a_minute", "tokens_a_minute", "seconds"),
    [(0, 0, None), (10, 0, 120.0), (0, 10**6, 120.0), (5, 10**9, 240.0)],
)
def test_the_tighter_limit_of_the_quota_decides_how_long_it_takes(
    requests_a_minute: int, tokens_a_minute: int, seconds: float | None
) -> None:
    ten_thousand = planning.Load(10_000, 2_000_000, 500, 500, 250_000)
    assert ten_thousand.seconds_at_quota(requests_a_minute, tokens_a_minute) == seconds
