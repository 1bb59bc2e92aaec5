"""The intervals that a judgement states cover the truth at their rate: overlap, identity, and what an index finds.

A population whose truth is known is judged many times by a sample, as a table is. Quality has its own in
test_quality.py, the equivalent threshold in test_shift.py.
"""

import numpy as np
from numpy.typing import NDArray

from orchestrator.validation import identity, intervals
from orchestrator.validation.overlap import Overlap
from reembed.retrieval import rankings
from tests.unit.test_identity import two_models

K = 10


def nearest(rows: NDArray[np.float32]) -> list[list[int]]:
    """Of each row the others that are nearest, in no order."""
    similarities = rows @ rows.T
    np.fill_diagonal(similarities, -np.inf)
    found: list[list[int]] = np.argpartition(-similarities, K, axis=1)[:, :K].tolist()
    return found


def test_the_interval_of_the_mean_overlap_covers_that_of_all_documents_at_its_rate() -> None:
    old, new = two_models(1_500, noise=0.25)
    every = [
        rankings.overlap_at_k(before, after, K)
        for before, after in zip(nearest(old), nearest(new), strict=True)
    ]
    truth = sum(every) / len(every)
    # As sound upgrades have it
    assert 0.2 < truth < 0.6
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        asked = generator.choice(len(every), 60)
        found = Overlap.of({place: every[document] for place, document in enumerate(asked)}, 0.6)
        covered += found.low <= truth <= found.high
    # 200 trials at 0.95 have a standard deviation of 0.015
    assert 0.905 <= covered / 200 <= 0.99


def test_the_interval_of_identity_covers_the_share_that_such_samples_find_on_average() -> None:
    """It is wider than it need be: whether a row is found also depends on the sample, which the rows of one share."""
    old, new = two_models(2_000, old_width=32, new_width=40, noise=1.0)
    generator = np.random.default_rng(4)
    seen = []
    for _ in range(100):
        rows = generator.choice(len(old), 300, replace=False)
        seen.append(identity.check(rows.tolist(), old[rows], new[rows]))
    truth = sum(one.found for one in seen) / sum(one.tested for one in seen)
    # Neither all nor none, or the interval would have little to cover
    assert 0.3 < truth < 0.97
    assert sum(one.low <= truth <= one.high for one in seen) >= 91
    assert np.mean([one.high - one.low for one in seen]) < 0.25


def test_the_interval_of_what_an_index_finds_covers_the_truth_though_queries_differ() -> None:
    generator = np.random.default_rng(6)
    # Some queries are hard for the index: of these it misses half
    shares = np.where(generator.random(20_000) < 0.2, 0.5, 0.97)
    truth = float(shares.mean())
    covered = 0
    for seed in range(200):
        found = generator.binomial(K, generator.choice(shares, 50))
        low, high = intervals.bootstrap_share(found.tolist(), [K] * 50, draws=1_000, seed=seed)
        covered += low <= truth <= high
    assert 0.89 <= covered / 200 <= 0.99
    # Had single results been drawn, it would have been too narrow, and covered less
    narrow = 0
    for _ in range(200):
        found = generator.binomial(K, generator.choice(shares, 50))
        low, high = intervals.wilson(int(found.sum()), K * 50)
        narrow += low <= truth <= high
    assert narrow < covered


def test_nothing_missed_has_the_interval_of_so_many_results() -> None:
    assert intervals.bootstrap_share([10] * 50, [10] * 50) == intervals.wilson(500, 500)
    assert intervals.bootstrap_share([0] * 5, [10] * 5) == intervals.wilson(0, 50)
