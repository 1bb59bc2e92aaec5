"""Estimates corrected by what is billed."""

import pytest

from reembed.embedding import tokens
from workers.ruler import HIGHEST, LOWEST, Ruler


def learned(estimated: int, billed: int, times: int = 50) -> Ruler:
    ruler = Ruler(tokens.estimate)
    for _ in range(times):
        ruler.learn(estimated, billed)
    return ruler


def test_an_estimate_is_what_the_provider_billed_for_as_much_before() -> None:
    assert Ruler(tokens.estimate).corrected(1_000) == 1_000
    assert learned(10_000, 7_000).corrected(1_000) == pytest.approx(700, rel=0.01)
    assert learned(10_000, 13_000).corrected(1_000) == pytest.approx(1_300, rel=0.01)


def test_one_small_answer_proves_little_and_many_large_ones_prove_it() -> None:
    assert learned(200, 100, times=1).ratio == pytest.approx(0.95, abs=0.01)
    assert learned(200_000, 100_000, times=1).ratio == pytest.approx(0.5, abs=0.01)


def test_texts_that_change_along_the_table_change_the_ratio() -> None:
    ruler = learned(100_000, 50_000)
    for _ in range(30):
        ruler.learn(100_000, 100_000)
    assert ruler.ratio > 0.9


@pytest.mark.parametrize(("billed", "ratio"), [(1, LOWEST), (10**9, HIGHEST)])
def test_a_bill_that_is_no_count_of_tokens_is_believed_within_bounds(billed: int, ratio: float) -> None:
    ruler = learned(10_000, billed)
    assert ruler.ratio == pytest.approx(ratio, rel=0.01)
    for _ in range(300):
        ruler.learn(10_000, 10_000)
    assert ruler.ratio == pytest.approx(1, rel=0.3)


def test_nothing_is_learned_from_a_provider_that_reports_no_usage() -> None:
    assert learned(10_000, 0).ratio == 1
    assert learned(0, 5).ratio == 1


def test_nothing_is_ever_estimated_at_nothing() -> None:
    assert Ruler(tokens.estimate).corrected(0) == 1
