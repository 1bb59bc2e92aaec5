"""What a migration of any size asks of the provider, the broker and the ledger."""

import datetime

import pytest

from orchestrator import dispatch, planning
from orchestrator.planning import Load


@pytest.mark.parametrize(
    ("documents", "size"),
    [
        (0, 50),
        (1, 50),
        (100, 50),
        (1_000, 50),
        (1_001, 500),
        (100_000, 500),
        (100_001, 2_000),
        (1_000_000, 2_000),
        (1_000_001, 5_000),
        (10_000_000, 5_000),
        (10_000_001, 10_000),
        (100_000_000, 10_000),
        (100_000_001, 20_000),
        (1_000_000_000, 20_000),
    ],
)
def test_a_chunk_grows_with_the_table(documents: int, size: int) -> None:
    assert planning.chunk_size(documents) == size


def load(
    documents: int,
    *,
    tokens: int = 0,
    chunk_size: int | None = None,
    batch_size: int = 500,
    batch_tokens: int = 250_000,
) -> Load:
    return Load(documents, tokens, chunk_size or planning.chunk_size(documents), batch_size, batch_tokens)


@pytest.mark.parametrize(
    ("documents", "chunks", "waves"),
    [
        (1, 1, 1),
        (50, 1, 1),
        (51, 2, 1),
        (100, 2, 1),
        (1_000_000, 500, 1),
        (10_000_000, 2_000, 1),
        (10_000_001, 1_001, 1),
        (100_000_000, 10_000, 5),
        # So many rows of the ledger a person can look at, and no chord has more than a wave of header tasks
        (1_000_000_000, 50_000, 25),
    ],
)
def test_a_billion_documents_are_fifty_thousand_chunks_in_waves_of_two_thousand(
    documents: int, chunks: int, waves: int
) -> None:
    planned = load(documents)
    assert (planned.chunks, planned.waves(2_000)) == (chunks, waves)
    assert dispatch.WAVE == 2_000


def test_a_last_chunk_that_is_not_full_is_a_chunk_and_a_last_wave_a_wave() -> None:
    planned = load(20_001, chunk_size=10)
    assert planned.chunks == 2_001
    assert planned.waves(2_000) == 2


@pytest.mark.parametrize(
    ("planned", "requests"),
    [
        # By documents: 10,000 in requests of 500
        (load(10_000, tokens=1_000_000, chunk_size=500), 20),
        (load(10_001, tokens=1_000_000, chunk_size=500), 21),
        # By tokens: ten millions of them in requests of 250,000
        (load(10_000, tokens=10_000_000, chunk_size=500), 40),
        (load(10_000, tokens=10_000_001, chunk_size=500), 41),
        # By chunks: each makes one at least
        (load(10_000, tokens=10_000, chunk_size=50), 200),
        (load(1, tokens=1), 1),
        (load(1_000_000_000, tokens=200_000_000_000), 2_000_000),
    ],
)
def test_requests_are_bounded_by_documents_by_tokens_and_by_chunks(planned: Load, requests: int) -> None:
    assert planned.requests == requests


# 20 requests and 2 million tokens
TEN_THOUSAND = load(10_000, tokens=2_000_000, chunk_size=500)
BILLION = load(1_000_000_000, tokens=200_000_000_000)


@pytest.mark.parametrize(
    ("planned", "requests_a_minute", "tokens_a_minute", "seconds"),
    [
        # No quota, no least time
        (TEN_THOUSAND, 0, 0, None),
        (TEN_THOUSAND, 10, 0, 120.0),
        (TEN_THOUSAND, 0, 1_000_000, 120.0),
        # The tighter of the two decides
        (TEN_THOUSAND, 5, 1_000_000, 240.0),
        (TEN_THOUSAND, 10, 500_000, 240.0),
        # Two million requests, 200 billion tokens: a fortnight at 10 million a minute
        (BILLION, 10_000, 10_000_000, 20_000 * 60.0),
    ],
)
def test_the_tighter_limit_of_the_quota_decides_how_long_it_takes(
    planned: Load, requests_a_minute: int, tokens_a_minute: int, seconds: float | None
) -> None:
    assert planned.seconds_at_quota(requests_a_minute, tokens_a_minute) == seconds


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("text-embedding-3-large", 0.13),
        ("text-embedding-3-small", 0.02),
        ("text-embedding-ada-002", 0.10),
    ],
)
def test_a_price_is_the_lists_with_the_day_it_was_looked_up(model: str, dollars: float) -> None:
    listed = planning.price(model, None)
    assert listed is not None
    assert listed.dollars == dollars
    # A date and not a time or a text: it is printed beside the price
    assert type(listed.as_of) is datetime.date


@pytest.mark.parametrize("model", ["text-embedding-3-small", "a-model-of-ones-own"])
@pytest.mark.parametrize("dollars", [1.5, 0.0])
def test_the_operators_price_comes_before_the_lists_even_where_it_is_nothing(
    model: str, dollars: float
) -> None:
    assert planning.price(model, dollars) == planning.Price(dollars, None)


@pytest.mark.parametrize("model", ["a-model-of-ones-own", "", "TEXT-EMBEDDING-3-SMALL"])
def test_nobody_guesses_the_price_of_a_model_that_is_not_in_the_list(model: str) -> None:
    assert planning.price(model, None) is None


def test_a_price_is_for_a_million_tokens() -> None:
    price = planning.Price(0.02, None)
    assert price.of(0) == 0
    assert price.of(5_000_000) == pytest.approx(0.10)
    assert price.of(200_000_000_000) == pytest.approx(4_000)
