"""Identity: sound columns hold, broken ones do not, and the wrong rows are named."""

import numpy as np
import pytest

from orchestrator.validation import identity
from orchestrator.validation.identity import Rows


def unit(rows: np.ndarray) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def two_models(
    documents: int, old_width: int = 48, new_width: int = 64, noise: float = 0.5, seed: int = 0
) -> tuple[Rows, Rows]:
    """One meaning in 32 dimensions, seen by two models: each turns it its own way, shifts it, and adds noise."""
    generator = np.random.default_rng(seed)
    meaning = generator.normal(size=(documents, 32))

    def seen(width: int) -> Rows:
        turned = meaning @ np.linalg.qr(generator.normal(size=(max(width, 32), 32)))[0].T[:, :width]
        # A mean as long as the rows, as in real models: a third to nine tenths of every vector is one direction
        mean = generator.normal(size=width)
        return unit(turned + mean * np.sqrt(32 / width) + noise * generator.normal(size=(documents, width)))

    return seen(old_width), seen(new_width)


@pytest.mark.parametrize(("old_width", "new_width"), [(48, 48), (48, 64), (64, 48)])
@pytest.mark.parametrize("documents", [300, 1_400])
def test_a_sound_column_holds_whatever_the_two_widths(old_width: int, new_width: int, documents: int) -> None:
    old, new = two_models(documents, old_width, new_width)
    seen = identity.check(range(documents), old, new)
    assert seen.tested == documents - documents * 5 // 7
    assert seen.found / seen.tested > 0.9
    assert seen.low <= seen.found / seen.tested <= seen.high
    assert len(seen.failing_ids) == seen.tested - seen.found
    assert identity.holds(seen) is True


def test_a_sound_column_holds_although_it_is_wider_than_the_sample_is_long() -> None:
    old, new = two_models(300, old_width=500, new_width=700, noise=0.1)
    seen = identity.check(range(300), old, new)
    assert seen.found / seen.tested > 0.9
    assert identity.holds(seen) is True


@pytest.mark.parametrize("documents", [300, 1_400])
@pytest.mark.parametrize("broken", ["shifted", "shuffled", "one vector everywhere", "half wrong"])
def test_a_broken_column_does_not_hold(broken: str, documents: int) -> None:
    old, new = two_models(documents)
    wrong = {
        "shifted": np.roll(new, 1, axis=0),
        "shuffled": np.random.default_rng(1).permutation(new),
        "one vector everywhere": np.repeat(new[:1], documents, axis=0),
        "half wrong": np.where(np.arange(documents)[:, None] % 2 == 0, new, np.roll(new, 1, axis=0)),
    }[broken]
    assert identity.holds(identity.check(range(documents), old, wrong)) is False


def test_an_old_column_of_one_vector_everywhere_proves_nothing() -> None:
    _, new = two_models(300)
    seen = identity.check(range(300), np.repeat(new[:1], 300, axis=0), new)
    assert seen.found == 0
    assert identity.holds(seen) is False


def test_one_wrong_row_in_20_is_named_by_its_id() -> None:
    old, new = two_models(1_400, noise=0.3)
    ids = [f"doc-{row}" for row in range(1_400)]
    wrong = np.arange(1_000, 1_400, 20)
    new[wrong] = new[np.roll(wrong, 1)]
    seen = identity.check(ids, old, new)
    named = {ids[row] for row in wrong} & set(seen.failing_ids)
    assert len(named) >= 19
    assert len(set(seen.failing_ids) - named) <= 4


def test_wrong_rows_are_named_before_those_that_are_merely_hard_to_tell() -> None:
    old, new = two_models(1_400, noise=1.2)
    wrong = np.arange(1_000, 1_400, 20)
    new[wrong] = new[np.roll(wrong, 1)]
    seen = identity.check(range(1_400), old, new)
    assert len(seen.failing_ids) > 100
    places = [place for place, row in enumerate(seen.failing_ids) if row in set(wrong.tolist())]
    # Half way down the list is where chance would put them
    assert np.median(places) < len(seen.failing_ids) / 4


def test_a_sound_column_of_repeated_texts_holds() -> None:
    old, new = two_models(350)
    seen = identity.check(range(1_400), np.tile(old, (4, 1)), np.tile(new, (4, 1)))
    assert seen.found / seen.tested > 0.9


@pytest.mark.parametrize("documents", [0, 1, 60, 299])
def test_a_small_sample_is_not_testable(documents: int) -> None:
    old, new = two_models(documents)
    seen = identity.check(range(documents), old, new)
    assert seen == identity.Identity(tested=0, found=0, low=0.0, high=1.0, lost=0, failing_ids=())
    assert identity.holds(seen) is None


@pytest.mark.parametrize(("lost", "answer"), [(0, True), (8, True), (23, True), (24, False), (200, False)])
def test_it_holds_while_the_lower_bound_of_lost_rows_is_within_4_percent(lost: int, answer: bool) -> None:
    # Wilson's lower bound for 23 of 400 is 0.0386, for 24 of 400 it is 0.0406
    seen = identity.Identity(tested=400, found=100, low=0.21, high=0.29, lost=lost, failing_ids=())
    assert identity.holds(seen) is answer


def test_ranks_count_what_comes_before_and_half_of_what_ties() -> None:
    sample = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.6, 0.8], [-1.0, 0.0]], dtype=np.float32)
    queries = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    assert identity.ranks(queries, np.array([0, 2, 4, 1]), sample).tolist() == [0.0, 1.5, 4.0, 2.0]


def test_the_map_undoes_a_rotation_of_centred_rows() -> None:
    generator = np.random.default_rng(2)
    old = unit(generator.normal(size=(200, 16)))
    rotation = np.linalg.qr(generator.normal(size=(16, 16)))[0].astype(np.float32)
    # A common direction of the new model must not bend the rotation
    learned = identity.fit(old, old @ rotation + np.float32(3.0))
    np.testing.assert_allclose(learned.rotation, rotation, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(learned.apply(old), axis=1), 1.0, atol=1e-6)


def test_a_row_at_the_old_mean_maps_to_zero() -> None:
    old, new = two_models(50)
    learned = identity.fit(old, new)
    learned = identity.Map(old[0].astype(np.float64), learned.rotation)
    assert not learned.apply(old[:1]).any()


def test_directions_that_no_pair_speaks_for_are_mapped_to_zero() -> None:
    old = np.zeros((40, 8), dtype=np.float32)
    old[:, :3] = unit(np.random.default_rng(3).normal(size=(40, 3)))
    learned = identity.fit(old, old)
    assert np.linalg.norm(learned.rotation[5]) < 1e-6
