"""A threshold on similarities, and the one that keeps as many results of the new model."""

import numpy as np
import pytest

from orchestrator.validation.shift import LEVELS, Shift


def test_a_model_whose_similarities_are_lower_moves_every_threshold_down_with_them() -> None:
    generator = np.random.default_rng(1)
    old = generator.uniform(0.6, 1.0, size=(300, 10))
    shift = Shift.of(old.tolist(), (old - 0.3).tolist(), threshold=0.8)
    assert shift is not None
    assert shift.old == pytest.approx([0.6 + 0.4 * level for level in LEVELS], abs=0.02)
    assert [one.new for one in shift.equivalents] == pytest.approx(
        [one.old - 0.3 for one in shift.equivalents], abs=0.01
    )
    asked = shift.equivalents[-1]
    assert asked.old == 0.8
    assert asked.kept == pytest.approx(0.5, abs=0.03)
    assert asked.low < asked.new < asked.high


def test_queries_without_results_count_for_nothing_and_nothing_is_said_without_any() -> None:
    assert Shift.of([], []) is None
    assert Shift.of([[], []], [[0.1], [0.2]]) is None
    shift = Shift.of([[0.9, 0.8], []], [[0.5], [0.4, 0.3]])
    assert shift is not None
    assert shift.old[2] == pytest.approx(0.85)
    assert shift.new[2] == pytest.approx(0.4)


def test_a_threshold_that_everything_or_nothing_passes_stays_at_the_end_of_the_new_similarities() -> None:
    shift = Shift.of([[0.5, 0.6]] * 30, [[0.1, 0.2]] * 30, threshold=0.99)
    assert shift is not None
    assert shift.equivalents[-1].new == pytest.approx(0.2)
    assert shift.equivalents[-1].kept == 0.0


def test_the_interval_of_an_equivalent_threshold_covers_the_truth_at_its_rate() -> None:
    """Two hundred studies of eighty queries; results of one query resemble each other."""
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        level = generator.normal(0.7, 0.05, size=(80, 1))
        old = level + generator.normal(0, 0.05, size=(80, 10))
        new = level - 0.25 + generator.normal(0, 0.05, size=(80, 10))
        shift = Shift.of(old.tolist(), new.tolist(), threshold=0.7)
        assert shift is not None
        covered += shift.equivalents[-1].low <= 0.45 <= shift.equivalents[-1].high
    assert 0.90 <= covered / 200 <= 0.99
