"""Documents cut into provider requests: one text once, cut to size, every document in one batch."""

import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from config.settings import Settings
from reembed import errors
from reembed.database import documents
from reembed.database.documents import Document
from reembed.embedding import tokens
from reembed.embedding.bisection import Apart
from workers import batches, overlong
from workers.duplicates import Copies, Duplicates
from workers.ruler import Ruler


def settings(**fields: object) -> Settings:
    return Settings.model_validate({"database_url": "postgresql:///x", **fields})


def page(*contents: str) -> list[Document]:
    return [
        Document(number, content, uuid.uuid5(uuid.NAMESPACE_OID, content))
        for number, content in enumerate(contents, start=1)
    ]


def cut(
    contents: tuple[str, ...], prefix: str = "", copies: Copies | None = None, **fields: object
) -> Iterator[batches.Batch]:
    groups, _ = Duplicates().group(page(*contents))
    return batches.cut(groups, prefix, settings(**fields), Ruler(tokens.estimate), (0, 0), copies)


def ids(batch: batches.Batch) -> list[list[int]]:
    return [[document.id for document in group] for group in batch.groups]


def test_a_batch_holds_no_more_texts_than_a_request_may() -> None:
    found = list(cut(("a", "b", "c", "d", "e"), embed_batch_size=2))
    assert [batch.sent for batch in found] == [["a", "b"], ["c", "d"], ["e"]]
    assert [batch.requests for batch in found] == [[range(2)], [range(2)], [range(1)]]


def test_a_batch_holds_no_more_tokens_than_a_request_may() -> None:
    found = list(cut(("one two three", "four five", "six"), embed_batch_tokens=5))
    assert [batch.sent for batch in found] == [["one two three", "four five"], ["six"]]
    assert [batch.estimate(batch.sent) for batch in found] == [5, 1]


def test_a_batch_holds_as_many_as_the_provider_bills_for_and_not_as_many_as_are_estimated() -> None:
    ruler = Ruler(tokens.estimate)
    for _ in range(20):
        ruler.learn(100_000, 50_000)
    groups, _ = Duplicates().group(page("one two three", "four five", "six"))
    assert len(list(batches.cut(groups, "", settings(embed_batch_tokens=4), ruler, (0, 0)))) == 1


def test_a_batch_is_no_larger_than_a_quota_lets_go_evenly() -> None:
    groups, _ = Duplicates().group(page(*("one two " * 5 + str(n) for n in range(10))))
    found = list(batches.cut(groups, "", settings(), Ruler(tokens.estimate), (0, 240 * 30)))
    assert [len(batch.sent) for batch in found] == [2] * 5


def test_tokens_are_counted_only_where_they_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given requests that are full of documents long before they are full of tokens
    texts = (*("one two three" for _ in range(4)), *"abc")
    full = [batch.sent for batch in cut(texts, embed_batch_size=2)]
    seen: list[str] = []

    def estimate(text: str) -> int:
        seen.append(text)
        return 1

    monkeypatch.setattr(tokens, "estimate", estimate)
    # Then a bound is enough, and nothing is said of what was not counted
    found = list(cut(texts, embed_batch_size=2))
    assert [batch.sent for batch in found] == full
    assert [batch.estimate(batch.sent) for batch in found] == [0, 0]
    assert not seen
    # But not for a quota, which would be wasted
    groups, _ = Duplicates().group(page(*texts))
    list(batches.cut(groups, "", settings(embed_batch_size=2), Ruler(tokens.estimate), (0, 1_000)))
    assert seen


def test_a_bound_does_not_decide_whether_a_text_is_too_long() -> None:
    text = "one two three"
    assert tokens.bound(text) > 3
    (batch,) = cut((text,), embed_max_input_tokens=3, embed_overlong="fail")
    assert batch.sent == [text]


def test_identical_texts_are_one_text_of_the_request() -> None:
    (batch,) = cut(("same", "other", "same"))
    assert (batch.sent, ids(batch)) == (["same", "other"], [[1, 3], [2]])


def test_an_over_long_text_is_cut_averaged_or_refused() -> None:
    long = "word " * 100
    (short,) = cut((long,), embed_max_input_tokens=10)
    assert long.startswith(short.sent[0])
    assert 0 < len(short.sent[0]) < 60
    (parts,) = cut((long, "fits"), embed_max_input_tokens=10, embed_overlong="mean")
    assert "".join(parts.sent) == long + "fits"
    assert len(parts.sent) > 10
    (refused, rest) = cut((long, "fits"), embed_max_input_tokens=10, embed_overlong="fail")
    result = refused.result([])
    assert refused.requests == []
    assert next(iter(result.refused.values())).startswith(
        "The text has 100 tokens, and EMBED_MAX_INPUT_TOKENS is 10."
    )
    assert rest.sent == ["fits"]


def test_parts_that_do_not_go_into_one_request_go_into_several_of_one_batch() -> None:
    (batch,) = cut(("word " * 100,), embed_max_input_tokens=10, embed_overlong="mean", embed_batch_size=4)
    assert [len(part) for part in batch.requests] == [4, 4, 2]


def test_the_prefix_counts_like_the_rest_of_a_text() -> None:
    groups, _ = Duplicates().group(page("one two"))
    (batch,) = batches.cut(groups, "passage: ", settings(), Ruler(tokens.estimate), (0, 1_000))
    assert batch.estimate(batch.sent) == 2 + tokens.estimate("passage: ")
    (short,) = cut(("word " * 100,), "passage: ", embed_max_input_tokens=10)
    assert tokens.estimate("passage: " + short.sent[0]) <= 10


def test_half_a_request_reserves_half_of_it() -> None:
    groups, _ = Duplicates().group(page("one two three", "four five"))
    (batch,) = batches.cut(groups, "", settings(), Ruler(tokens.estimate), (0, 1_000_000))
    assert batch.estimate(["four five"]) == 2
    assert batch.estimate(["hello"]) == 1


def test_an_answer_is_spread_over_all_documents_of_a_text() -> None:
    (batch,) = cut(("same", "bad", "same", "good", "bad"))
    vectors = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    refusal = errors.DocumentRefused(reason="no")
    result = batch.result([Apart(vectors, accepted=[0, 2], refused={1: refusal}, tokens=7)])
    assert [document.id for document in result.embedded] == [1, 3, 4]
    assert result.vectors.tolist() == [[1, 2], [1, 2], [3, 4]]
    assert {document.id: reason for document, reason in result.refused.items()} == {
        2: str(refusal),
        5: str(refusal),
    }
    assert result.tokens == 7


def test_parts_are_averaged_by_their_lengths_and_a_refused_part_refuses_its_text() -> None:
    (batch,) = cut(
        ("one two three", "four five six", "seven"),
        embed_max_input_tokens=2, embed_overlong="mean", embed_batch_size=3,
    )  # fmt: skip
    assert [len(part) for part in batch.requests] == [3, 2]
    first = Apart(
        np.array([[3.0, 0.0], [0.0, 3.0]], np.float32), [0, 1], {2: errors.DocumentRefused(reason="no")}, 3
    )
    second = Apart(np.array([[9.0, 9.0], [5.0, 6.0]], np.float32), [0, 1], {}, 2)
    result = batch.result([first, second])
    # No unit vectors went in, and none comes out: two thirds of the one, a third of the other
    assert result.vectors.tolist() == [[2.0, 1.0], [5.0, 6.0]]
    assert [document.id for document in result.embedded] == [1, 3]
    assert [document.id for document in result.refused] == [2]
    assert {document.id: done.treatment for document, done in result.too_long.items()} == {1: "averaged"}
    assert result.tokens == 5


def test_what_was_answered_before_a_fault_is_kept_and_nothing_else() -> None:
    (batch,) = cut(
        ("one two three four", "five", "six"),
        embed_max_input_tokens=2, embed_overlong="mean", embed_batch_size=3,
    )  # fmt: skip
    assert [len(part) for part in batch.requests] == [3, 1]
    half = Apart(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32), [0, 1, 2], {}, 5)
    assert [document.id for document in batch.result([half]).embedded] == [1, 2]
    less = Apart(np.array([[1.0, 0.0]], np.float32), [0], {}, 2)
    assert batch.result([less]).embedded == []


def test_parts_that_cancel_each_other_out_leave_no_zero_vector() -> None:
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    assert overlong.mean(opposite, [5, 5]).tolist() == [1.0, 0.0]
    unit = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert np.linalg.norm(overlong.mean(unit, [5, 3])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("characters", "expected"),
    [
        pytest.param(800, 2_000, id="usual texts: four batches, as many as ever"),
        pytest.param(192_000, 166, id="long ones: what fits into 32 MB"),
        pytest.param(100_000_000, 1, id="one that does not fit is fetched alone"),
    ],
)
def test_a_page_is_bounded_by_its_bytes_as_well(characters: int, expected: int) -> None:
    assert batches.next_limit(page("x" * characters), 500) == expected


def test_the_first_page_is_one_batch_and_the_others_are_as_the_last_one_was_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given ten texts of 1.5 MB each, behind four short ones
    contents = [*"abcd", *(f"{number} " * 500_000 for number in range(10, 20))]
    table = page(*contents)
    limits: list[int] = []

    def fetch_batch(*_where: object, after: int | None, limit: int) -> list[Document]:
        limits.append(limit)
        return table[after or 0 :][:limit]

    class Asked:
        def call(self, function: Callable[[object], object]) -> object:
            return function(None)

    monkeypatch.setattr(batches, "_BYTES_A_PAGE", 3_500_000)
    monkeypatch.setattr(documents, "fetch_batch", fetch_batch)
    quota = SimpleNamespace(limits=(0, 0))
    model = SimpleNamespace(document_prefix="")
    found = batches.of_chunk(
        Asked(), None, None, model, settings(embed_batch_size=2),  # type: ignore[arg-type]
        ruler=Ruler(len), quota=quota, duplicates=Duplicates(),  # type: ignore[arg-type]
    )  # fmt: skip
    sent = [len(text.parts[0]) for batch in found for text in batch.texts]
    # Then the page that meets them first is long, which nobody could foresee, and those behind it are not
    assert limits == [2, 8, 3, 2]
    assert len(sent) == len(table)
