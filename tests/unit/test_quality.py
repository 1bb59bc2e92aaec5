"""The verdict on judged queries: what it says, and how often it is right."""

import itertools

import numpy as np
import pytest

from orchestrator.validation import intervals, quality
from orchestrator.validation.quality import Quality

# One relevant document a query, so that nDCG@10 depends on its place alone: 1, .63, .5, ...
PLACES = {"best": ["r", "x"], "second": ["x", "r"], "never": ["x", "y"]}


def judge(old: str, new: str, queries: int, *, losing: int = 0, margin: float = 0.02) -> Quality:
    """`losing` of the queries find nothing by the new model."""
    ids = [f"q{number}" for number in range(queries)]
    return Quality.of(
        dict.fromkeys(ids, PLACES[old]),
        {query: PLACES["never" if number < losing else new] for number, query in enumerate(ids)},
        {query: {"r": 1} for query in ids},
        margin,
    )


def test_an_upgrade_goes_and_a_downgrade_stops() -> None:
    up = judge("second", "best", 50)
    assert (up.verdict, up.wins, up.ties, up.losses) == ("go", 50, 0, 0)
    assert up.difference == pytest.approx(1 - 1 / np.log2(3))
    down = judge("best", "second", 50)
    assert (down.verdict, down.losses, down.more_queries) == ("stop", 50, None)


def test_no_difference_goes_and_a_margin_of_nothing_is_undecided() -> None:
    assert judge("best", "best", 30).verdict == "go"
    assert judge("best", "best", 30, margin=0.0).verdict == "inconclusive"


def test_too_few_queries_are_inconclusive_and_it_says_how_many_more_would_do() -> None:
    few = judge("second", "best", 12, losing=4)
    assert few.verdict == "inconclusive"
    assert few.more_queries is not None
    # The same mean and spread with so many more
    scale = -(-(12 + few.more_queries) // 12)
    assert judge("second", "best", 12 * scale, losing=4 * scale).verdict in ("go", "stop")


def test_the_queries_that_lose_most_are_listed_worst_first() -> None:
    judged = {query: {"r": 1} for query in "abc"}
    old = dict.fromkeys("abc", PLACES["best"])
    new = {"a": PLACES["best"], "b": PLACES["second"], "c": PLACES["never"]}
    found = Quality.of(old, new, judged, 0.02)
    assert [(query.id, query.old, round(query.new, 2)) for query in found.worst] == [
        ("c", 1.0, 0.0),
        ("b", 1.0, 0.63),
    ]


def test_a_query_without_results_found_nothing() -> None:
    found = Quality.of({"a": ["r"]}, {}, {"a": {"r": 1}}, 0.02)
    assert (found.old.mrr, found.new.mrr, found.difference) == (1.0, 0.0, -1.0)


def test_the_randomization_test_counts_the_signs_that_are_as_extreme() -> None:
    differences = [0.5, 0.4, 0.3, -0.1, 0.2, 0.6, -0.05, 0.25]
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    exact = sum(value >= abs(sum(differences)) - 1e-12 for value in sums) / len(sums)
    assert quality.randomization_p(differences, draws=40_000) == pytest.approx(exact, abs=0.005)
    assert quality.randomization_p([0.0] * 10) == 1.0


def test_the_interval_covers_the_true_difference_at_its_rate_and_the_verdict_rarely_errs() -> None:
    # Differences as they are: most queries tie, some win or lose much
    values, shares = np.array([-0.6, -0.3, 0.0, 0.3, 0.6]), np.array([0.08, 0.1, 0.6, 0.12, 0.1])
    truth = float(values @ shares)
    generator = np.random.default_rng(1)
    covered = 0
    for round_ in range(400):
        drawn = generator.choice(values, size=200, p=shares).tolist()
        low, high = intervals.bootstrap_mean(drawn, 2_000, seed=round_)
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.98
