"""How many lists an ivfflat index has: pgvector's advice, by the rows that exist."""

import pytest

from reembed.database import indexes


@pytest.mark.parametrize(
    ("rows", "lists"),
    [
        # Never none, however small the table
        (0, 1),
        (1, 1),
        (999, 1),
        # One for each thousand rows, up to a million
        (1_000, 1),
        (1_999, 1),
        (2_000, 2),
        (123_456, 123),
        (1_000_000, 1_000),
        # The square root of the rows above; both rules meet at a million
        (1_000_001, 1_000),
        (4_000_000, 2_000),
        (1_000_000_000, 31_622),
    ],
)
def test_ivfflat_lists_follow_the_rows_that_exist(rows: int, lists: int) -> None:
    assert indexes.lists(rows) == lists


def test_more_rows_never_get_fewer_lists() -> None:
    sizes = [0, 500, 10**3, 10**5, 999_999, 10**6, 10**6 + 1, 10**7, 10**9]
    found = [indexes.lists(rows) for rows in sizes]
    assert found == sorted(found)
