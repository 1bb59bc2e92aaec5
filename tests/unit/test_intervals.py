"""Intervals: against published values, and covering the truth as often as they say."""

import numpy as np
import pytest

from orchestrator.validation import intervals


@pytest.mark.parametrize(
    ("found", "tested", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # The mirror of 0 of 20
        (20, 20, 0.8389, 1.0),
        # Nothing tested is nothing known
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_gives_the_published_interval(found: int, tested: int, low: float, high: float) -> None:
    assert intervals.wilson(found, tested) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("tested", [1, 7, 50, 400, 1_399])
def test_wilson_reaches_0_and_1_exactly_where_none_or_all_were_found(tested: int) -> None:
    assert intervals.wilson(0, tested)[0] == 0.0
    assert intervals.wilson(tested, tested)[1] == 1.0


@pytest.mark.parametrize(("found", "tested"), [(3, 2), (-1, 2), (1, 0)])
def test_wilson_refuses_what_is_no_share(found: int, tested: int) -> None:
    with pytest.raises(ValueError, match=f"found {found} of {tested} is not a share"):
        intervals.wilson(found, tested)


def test_the_bootstrap_interval_covers_the_true_mean_19_times_in_20() -> None:
    generator = np.random.default_rng(7)
    samples = generator.integers(11, size=(400, 100)) / 10
    covered = 0
    for seed, sample in enumerate(samples):
        low, high = intervals.bootstrap_mean(sample.tolist(), draws=500, seed=seed)
        covered += low <= 0.5 <= high
    # 400 trials at 0.95 have a standard deviation of 0.011
    assert 0.92 <= covered / len(samples) <= 0.98


def test_the_bootstrap_interval_is_as_wide_as_theory_says() -> None:
    values = [0.0, 1.0] * 200
    low, high = intervals.bootstrap_mean(values)
    # 1.96 standard errors of 0.5 / sqrt(400)
    assert (low, high) == pytest.approx((0.451, 0.549), abs=0.005)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(1).random(50).tolist()
    assert intervals.bootstrap_mean(values, seed=3) == intervals.bootstrap_mean(values, seed=3)
    assert intervals.bootstrap_mean(values, seed=3) != intervals.bootstrap_mean(values, seed=4)


def test_drawing_in_many_small_blocks_gives_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random(50).tolist()
    at_once = intervals.bootstrap_mean(values, draws=1_000)
    monkeypatch.setattr(intervals, "_BLOCK", 333)
    assert intervals.bootstrap_mean(values, draws=1_000) == pytest.approx(at_once, abs=1e-12)


def test_one_value_has_no_spread_and_no_value_no_interval() -> None:
    assert intervals.bootstrap_mean([0.4]) == pytest.approx((0.4, 0.4))
    with pytest.raises(ValueError, match="no values to draw from"):
        intervals.bootstrap_mean([])
