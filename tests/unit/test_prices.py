"""What a token costs, by whom, and what a migration does."""

import dataclasses
import datetime

import pytest

from config.settings import Settings
from orchestrator import prices
from orchestrator.prices import Price, Prices
from reembed.database.bills import Bill

LISTED = "text-embedding-3-small"


def settings(model: str, price: float | None = None) -> Settings:
    return Settings(
        database_url="postgresql://nowhere", embed_model=model, embed_price_per_million_tokens=price
    )


def test_a_price_is_the_operators_or_the_lists_or_unknown() -> None:
    listed = prices.price(LISTED, None)
    assert listed is not None
    assert (listed.dollars, isinstance(listed.as_of, datetime.date)) == (0.02, True)
    assert listed.of(5_000_000) == pytest.approx(0.10)
    assert prices.price(LISTED, 1.5) == Price(1.5, None)
    assert prices.price("a-model-of-ones-own", None) is None


def test_a_list_price_is_shown_with_its_date() -> None:
    assert str(Price(0.02, datetime.date(2026, 11, 1))) == "0.02 a million tokens, list price of 2026-11-01"
    assert str(Price(1.5, None)) == "1.5 a million tokens"


@pytest.mark.parametrize(
    ("new", "old", "bill", "cost"),
    [
        (0.02, None, Bill(5_000_000, 0), 0.10),
        (0.02, 0.10, Bill(5_000_000, 1_000_000), 0.20),
        (0.02, None, Bill(5_000_000, 1), None),
        (None, 0.10, Bill(5_000_000, 0), None),
        (0.0, None, Bill(5_000_000, 0), 0.0),
        (0.02, None, Bill(0, 0, untold=True), None),
    ],
)
def test_what_nobody_knows_is_not_guessed(
    new: float | None, old: float | None, bill: Bill, cost: float | None
) -> None:
    known = Prices(*(None if dollars is None else Price(dollars, None) for dollars in (new, old)))
    assert known.cost(bill) == (cost if cost is None else pytest.approx(cost))


def test_a_budget_buys_whole_tokens_and_none_too_many() -> None:
    assert prices.budget(12.5, settings(LISTED)).tokens == 625_000_000
    assert prices.budget(1.0, settings("own", 3.0)).tokens == 333_333
    assert prices.budget(1e300, settings("own", 3.0)).tokens == 2**62
    assert dataclasses.astuple(prices.budget(1.0, settings("own", 1e6))) == (1.0, 1)


@pytest.mark.parametrize("price", [None, 0.0])
def test_without_a_price_there_is_no_budget(price: float | None) -> None:
    with pytest.raises(prices.NoPrice) as caught:
        prices.budget(1.0, settings("a-model-of-ones-own", price))
    assert str(caught.value) == (
        "Nobody knows what a-model-of-ones-own costs, so that no budget can be kept. "
        "Set EMBED_PRICE_PER_MILLION_TOKENS to what its provider asks, in US dollars."
    )
    assert caught.value.exit_code == 2
