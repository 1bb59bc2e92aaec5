"""Judgements of relevance from files as people have them."""

from pathlib import Path

import pytest

from orchestrator.validation import judgements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q1 0 d1 2\nq1 0 d2 0\nq2 Q0 d1 1\n", {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}),
        ("query-id\tcorpus-id\tscore\n1\t31715818\t1\n", {"1": {"31715818": 1}}),
        ("query document\nq1 d1\n\nq1 d2\n", {"q1": {"d1": 1, "d2": 1}}),
        ("7 8\n7 9\n", {"7": {"8": 1, "9": 1}}),
    ],
    ids=["TREC", "BEIR", "clicks with a heading", "clicks"],
)
def test_judgements_are_read_as_they_are_usual(
    tmp_path: Path, text: str, expected: dict[str, dict[str, int]]
) -> None:
    path = tmp_path / "qrels"
    path.write_text(text)
    assert judgements.read(str(path)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no document is relevant in it"),
        ("q1 0 d1 0\n", "no document is relevant in it"),
        ("q1 0 d1 1\nq1 0 d2 often\n", "line 2 ends with no grade"),
        ("q1 0 d1 1 5\n", "line 1 has 5 columns"),
    ],
)
def test_a_file_without_judgements_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "qrels"
    path.write_text(text)
    with pytest.raises(judgements.NoJudgements) as error:
        judgements.read(str(path))
    assert str(error.value) == (
        f"The file {path} has no judgements: {reason}. Write lines of `query 0 document grade` (TREC), "
        "`query document grade`, or `query document` (a click)."
    )
