"""Names that a typing error may have meant."""

import pytest

from reembed.database import fitness, near


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("Documents", ["documents", "others"], ["documents"]),
        ("document", ["documents", "Document", "others"], ["Document", "documents"]),
        ("documnets", ["documents", "documents_old", "others"], ["documents"]),
        ("nowhere", ["documents", "others"], []),
        ("docs", [], []),
        ("d", ["a", "b", "c"], []),
    ],
)
def test_a_name_is_near_another_in_case_or_by_a_letter_or_two(
    name: str, known: list[str], expected: list[str]
) -> None:
    assert near.names(name, known) == expected


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Embedding", "Set OLD_COLUMN=embedding."), ("vectors", "Set OLD_COLUMN.")],
)
def test_a_column_that_is_missing_is_told_with_the_one_that_was_meant(name: str, hint: str) -> None:
    error = fitness.no_column("public.documents", name, ["id", "content", "embedding"], "OLD_COLUMN")
    assert str(error) == (
        f"The table public.documents has no column {name}; it has id, content, embedding. {hint}"
    )
