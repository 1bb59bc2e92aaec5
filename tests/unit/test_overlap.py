"""Overlap: what is shared, divided by what could have been."""

from collections.abc import Hashable

import pytest

from orchestrator.validation import overlap, ruler
from reembed.retrieval import rankings


@pytest.mark.parametrize(
    ("old", "new", "k", "expected"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 4, 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], 4, 1.0),
        ([1, 2, 3, 4], [5, 6, 7, 8], 4, 0.0),
        ([1, 2, 3, 4], [1, 2, 5, 6], 4, 0.5),
        # Only the first k count, on both sides
        ([1, 2, 3, 4], [1, 5, 2, 3], 2, 0.5),
        ([1, 2, 9], [9, 2, 1], 1, 0.0),
        # A small table cannot give k results
        ([1, 2, 3], [3, 1, 2], 10, 1.0),
        ([1, 2, 3], [3, 1, 4], 10, 2 / 3),
        # One side lost results that the other found, in whichever direction
        ([1, 2, 3, 4], [1], 4, 0.25),
        ([1], [1, 2, 3, 4], 4, 0.25),
        ([1, 2, 3], [], 10, 0.0),
        # Both agree that there is nothing
        ([], [], 10, 1.0),
        # Ids of every kind
        (["a", "b"], ["b", "c"], 2, 0.5),
    ],
)
def test_overlap_at_k(old: list[Hashable], new: list[Hashable], k: int, expected: float) -> None:
    assert rankings.overlap_at_k(old, new, k) == pytest.approx(expected)


def test_nothing_can_be_compared_at_k_0() -> None:
    with pytest.raises(ValueError, match="k is 0; at least one result must be compared"):
        rankings.overlap_at_k([1], [1], 0)


def test_the_mean_over_queries_comes_with_its_interval() -> None:
    summed = overlap.Overlap.of({query: (query % 5) / 10 for query in range(400)}, threshold=0.6)
    assert summed.queries == 400
    assert summed.mean == pytest.approx(0.2)
    # 1.96 standard errors of 0.1414 / sqrt(400)
    assert (summed.low, summed.high) == pytest.approx((0.186, 0.214), abs=0.002)


def test_queries_under_the_threshold_are_listed_worst_first_and_ties_in_their_order() -> None:
    summed = overlap.Overlap.of({"a": 0.6, "b": 0.5, "c": 0.0, "d": 0.5, "e": 1.0, "f": 0.1}, threshold=0.6)
    assert summed.under == (("c", 0.0), ("f", 0.1), ("b", 0.5), ("d", 0.5))
    assert summed.threshold == 0.6


def test_a_single_query_has_a_mean_and_no_spread() -> None:
    summed = overlap.Overlap.of({"only": 0.3}, threshold=0.6)
    assert (summed.mean, summed.low, summed.high) == pytest.approx((0.3, 0.3, 0.3))
    assert summed.under == (("only", 0.3),)


def test_no_query_is_refused() -> None:
    with pytest.raises(ValueError, match="no values to draw from"):
        overlap.Overlap.of({}, threshold=0.6)


def test_the_ruler_runs_from_harmless_to_broken() -> None:
    highest = [mark.highest for mark in ruler.RULER]
    assert highest == sorted(highest, reverse=True)
    assert all(0.0 <= mark.lowest <= mark.highest <= 1.0 for mark in ruler.RULER)
