"""Which storage suits a table, by what its catalog says."""

import pytest

from orchestrator import advice
from orchestrator.advice import Fill
from reembed.database import table
from reembed.database.catalog import Description


def found(*old_indexes: str) -> Description:
    return Description(
        table=table.Table("public", "documents", "id", "content", "embedding", "embedding_v2", "bigint"),
        estimated_rows=0,
        partitioned=False,
        old_type="vector",
        old_dimensions=768,
        old_indexes=old_indexes,
        columns=frozenset(),
        is_empty=False,
    )


@pytest.mark.parametrize(
    ("indexes", "documents", "free", "storage", "reason"),
    [
        ((), 10**8, 0.0, "column", "embedding has no vector index that writing beside it would cost"),
        (("i",), 4_999, 0.0, "column", "4,999 documents are soon written, though i makes it dear"),
        (
            ("i",),
            5_000,
            0.05,
            "companion",
            "5% of a page is free: each row written to the table goes into i once more",
        ),
        (
            ("i",),
            10**8,
            None,
            "companion",
            "nobody knows how full the pages are: each row written to the table goes into i once more",
        ),
        (
            ("i", "j"),
            10**8,
            0.6,
            "column",
            "60% of a page is free: a row's new version stays on it, and i untouched",
        ),
    ],
)
def test_a_companion_is_for_large_tables_whose_old_column_is_indexed_and_whose_pages_are_full(
    indexes: tuple[str, ...], documents: int, free: float | None, storage: str, reason: str
) -> None:
    assert advice.advise(found(*indexes), documents, free) == advice.Advice(storage, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "pages", "row_bytes", "free"),
    [
        (0, 0, 0, None),
        (1000, 100, 0, None),
        (1000, 100, 788.8, 0.0),
        (500, 100, 788.8, 0.5),
        # More than fits: an estimate that is out of date
        (9000, 100, 788.8, 0.0),
    ],
)
def test_the_free_share_of_a_page_is_what_rows_and_headers_leave(
    rows: float, pages: int, row_bytes: float, free: float | None
) -> None:
    found = Fill(rows, pages, row_bytes, 8192).free
    assert found == (None if free is None else pytest.approx(free, abs=1e-9))
