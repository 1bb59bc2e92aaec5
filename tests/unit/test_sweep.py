"""One wrong batch of a large table is too little for the identity check, and enough for the sweep."""

import numpy as np
import pytest

from orchestrator.validation import again, identity, sweep
from tests.unit.test_identity import two_models


@pytest.mark.parametrize("noise", [0.3, 0.8])
def test_a_batch_that_was_shuffled_is_among_the_suspects_of_ten_thousand(noise: float) -> None:
    old, new = two_models(10_000, noise=noise)
    batch = np.arange(7_000, 7_064)
    new[batch] = new[np.roll(batch, 1)]
    # In random order, as they are read
    order = np.random.default_rng(0).permutation(10_000)
    ids, old, new = order.tolist(), old[order], new[order]
    few = slice(0, identity.SAMPLE)
    assert identity.holds(identity.check(ids[few], old[few], new[few])) is True
    asked = sweep.suspects(ids, old, new)[: again.SUSPECTS]
    wrong = sum(document in batch for document in asked)
    assert wrong >= 3
    # Of the few rows that the identity check tests, none may have been of the batch
    assert len(sweep.suspects(ids, old, new)) < 10_000 / 3


def test_a_sound_column_of_one_model_has_no_suspects_and_a_small_table_is_not_swept() -> None:
    old, _ = two_models(2_000)
    assert sweep.suspects(range(2_000), old, old) == ()
    assert sweep.suspects(range(200), old[:200], old[::-1][:200]) == ()


def test_wrong_rows_of_a_small_table_with_wide_vectors_are_not_fitted_away() -> None:
    old, new = two_models(400, old_width=300, new_width=400, noise=0.3)
    wrong = np.arange(0, 400, 20)
    new[wrong] = new[np.roll(wrong, 1)]
    asked = sweep.suspects(range(400), old, new)[: again.SUSPECTS]
    assert set(wrong.tolist()) <= set(asked)


def test_wide_vectors_are_read_no_further_than_memory_bears() -> None:
    assert sweep.size(256, 384) == 10_000
    assert sweep.size(3_072, 3_072) == 4_069
