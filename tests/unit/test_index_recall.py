"""What an index finds of what was there: counted, and told."""

import dataclasses

import pytest

from orchestrator.validation import index_recall
from orchestrator.validation.comparison import Ranking
from orchestrator.validation.index_recall import Curve, IndexRecall, Point


def ranking(**similarities: float) -> Ranking:
    return Ranking(list(similarities), list(similarities.values()), 0.001)


EXACT = ranking(a=0.9, b=0.8, c=0.7, d=0.6)


@pytest.mark.parametrize(
    ("near", "share", "expected"),
    [
        (ranking(a=0.9, b=0.8, c=0.7), 1.0, (3, 3)),
        (ranking(a=0.9, c=0.7, d=0.6), 1.0, (2, 3)),
        # As near as the third of the nearest: another document is as good
        (ranking(a=0.9, b=0.8, x=0.7), 1.0, (3, 3)),
        (ranking(), 1.0, (0, 3)),
        # Of a share: b is nearer than what was found last, and was not found
        (ranking(a=0.9, y=0.85, c=0.7), 0.5, (2, 3)),
        # None of the sampled documents is within reach
        (ranking(x=0.99, y=0.98, z=0.97), 0.5, (0, 0)),
        # Too few results have no reach: then it is what k results of the whole would be of the share
        (ranking(a=0.9), 0.5, (1, 2)),
    ],
)
def test_what_was_there_to_be_found_is_counted(
    near: Ranking, share: float, expected: tuple[int, int]
) -> None:
    assert index_recall.count(near, EXACT, 3, share) == expected


def test_the_setting_in_use_is_among_those_that_are_tried() -> None:
    assert index_recall.widths("hnsw", 70, None) == [40, 70, 100, 200, 400]
    assert index_recall.widths("ivfflat", 1, 100) == [1, 4, 10, 16, 64]
    assert index_recall.widths("ivfflat", 3, 4) == [1, 2, 3, 4]
    assert index_recall.widths("ivfflat", 1, 1) == [1]


def measured(*recalls: float, in_use: int = 40, **fields: int) -> IndexRecall:
    points = tuple(
        Point(value, recall, recall - 0.02, min(recall + 0.02, 1.0), 1.0, 2.0)
        for value, recall in zip((40, 100, 200, 400), recalls, strict=False)
    )
    curve = Curve("documents_idx", "hnsw.ef_search", in_use, points)
    return IndexRecall(10, 50, 20_000, 20_000, None, dataclasses.replace(curve, **fields))  # type: ignore[arg-type]


def test_an_index_that_finds_nearly_all_has_nothing_to_be_told() -> None:
    assert list(measured(0.97, 0.99, 1.0, 1.0).findings()) == []
    # Within the interval it may be enough
    assert list(measured(0.89, 0.99, 1.0, 1.0).findings()) == []


def test_a_search_that_is_too_narrow_is_a_warning_that_names_one_that_is_not() -> None:
    (found,) = measured(0.7, 0.85, 0.95, 0.99).findings()
    assert (found.id, found.severity) == ("index", "warning")
    assert str(found) == (
        "the index documents_idx finds 70 % of the nearest documents with hnsw.ef_search = 40: "
        "`SET hnsw.ef_search = 200` finds 95 %"
    )


def test_an_index_that_finds_less_than_half_however_long_it_looks_does_not_pass() -> None:
    (found,) = measured(0.1, 0.2, 0.3, 0.4).findings()
    assert (found.id, found.severity) == ("index", "fault")
    assert str(found) == (
        "the index documents_idx finds 40 % of the nearest documents, even with hnsw.ef_search = 400: "
        "`REINDEX INDEX CONCURRENTLY documents_idx`, if it was built on fewer or other rows"
    )


def test_an_index_with_the_lists_of_a_smaller_table_is_named() -> None:
    assert list(measured(0.99, 0.99, 0.99, 0.99, lists=6, wanted_lists=20).findings()) == []
    (found,) = measured(0.99, 0.99, 0.99, 0.99, lists=5, wanted_lists=20).findings()
    assert (found.id, found.severity) == ("index_lists", "warning")
    assert str(found) == (
        "the index documents_idx has 5 lists, and 20,000 documents ask for 20: it was built on too few rows: "
        "`ALTER INDEX documents_idx SET (lists = 20)`, then `REINDEX INDEX CONCURRENTLY documents_idx`"
    )


def test_an_old_index_is_nobodys_to_mend() -> None:
    old = measured(0.1, 0.2, 0.3, 0.4)
    assert list(dataclasses.replace(old, old=old.new, new=None).findings()) == []
