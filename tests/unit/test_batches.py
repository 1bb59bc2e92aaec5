"""Documents cut into provider requests: one text once, cut to size, every document in one batch."""

import uuid

import numpy as np
import pytest

from config.settings import Settings
from reembed import errors
from reembed.database.documents import Document
from reembed.embedding import tokens
from reembed.embedding.bisection import Apart
from workers import batches


def settings(**fields: object) -> Settings:
    return Settings.model_validate({"database_url": "postgresql:///x", **fields})


def page(*contents: str) -> list[Document]:
    return [
        Document(number, content, uuid.uuid5(uuid.NAMESPACE_OID, content))
        for number, content in enumerate(contents, start=1)
    ]


def ids(batch: batches.Batch) -> list[list[int]]:
    return [[document.id for document in group] for group in batch.groups]


def cut(*contents: str, **fields: object) -> list[batches.Batch]:
    return list(batches.cut(page(*contents), settings(**fields)))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, [["a"], ["b"], ["c"], ["d"], ["e"]]),
        (2, [["a", "b"], ["c", "d"], ["e"]]),
        (4, [["a", "b", "c", "d"], ["e"]]),
        (5, [["a", "b", "c", "d", "e"]]),
        (6, [["a", "b", "c", "d", "e"]]),
    ],
)
def test_a_batch_holds_no_more_texts_than_a_request_may(size: int, expected: list[list[str]]) -> None:
    assert [batch.texts for batch in cut("a", "b", "c", "d", "e", embed_batch_size=size)] == expected


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (6, [(["one two three", "four five", "six"], 6)]),
        (5, [(["one two three", "four five"], 5), (["six"], 1)]),
        (4, [(["one two three"], 3), (["four five", "six"], 3)]),
        # Whether a text alone is too long is for the provider to say
        (2, [(["one two three"], 3), (["four five"], 2), (["six"], 1)]),
    ],
)
def test_a_batch_holds_no_more_tokens_than_a_request_may(
    most: int, expected: list[tuple[list[str], int]]
) -> None:
    found = cut("one two three", "four five", "six", embed_batch_tokens=most)
    assert [(batch.texts, batch.estimated_tokens) for batch in found] == expected


def test_nothing_makes_no_batch() -> None:
    assert cut() == []


def test_identical_texts_are_one_text_of_the_request_in_the_order_of_the_first() -> None:
    (batch,) = cut("same", "other", "same", "third", "other")
    assert (batch.texts, ids(batch)) == (["same", "other", "third"], [[1, 3], [2, 5], [4]])
    assert batch.estimated_tokens == sum(tokens.estimate(text) for text in ("same", "other", "third"))


def test_identical_texts_count_once_for_the_size_of_a_request() -> None:
    found = cut("a", "a", "a", "b", "a", "c", embed_batch_size=2)
    assert [ids(batch) for batch in found] == [[[1, 2, 3, 5], [4]], [[6]]]


def test_texts_that_look_alike_are_two() -> None:
    (batch,) = cut("same", "Same", "same ")
    assert batch.texts == ["same", "Same", "same "]


def test_every_document_is_in_one_batch() -> None:
    contents = [str(number % 7) for number in range(100)]
    found = cut(*contents, embed_batch_size=3)
    assert sorted(number for batch in found for group in ids(batch) for number in group) == list(
        range(1, 101)
    )


def test_an_over_long_text_is_cut_to_what_the_provider_takes() -> None:
    long = "word " * 100
    (batch,) = cut(long, "short", embed_max_input_tokens=10)
    assert batch.texts == [tokens.truncate(long, 10), "short"]
    assert tokens.estimate(batch.texts[0]) == 10
    # Charged for what is sent
    assert batch.estimated_tokens == 11


def test_an_over_long_text_is_left_to_the_provider_where_it_is_to_fail() -> None:
    long = "word " * 100
    (batch,) = cut(long, "short", embed_max_input_tokens=10, embed_overlong="fail")
    assert batch.texts == [long, "short"]


def test_a_cut_text_keeps_its_document_and_its_hash_whole() -> None:
    # The write is guarded by the hash of the document's text, not of what was sent
    (document,) = page("word " * 100)
    (batch,) = batches.cut([document], settings(embed_max_input_tokens=10))
    assert batch.groups == [[document]]


def answered() -> batches.Result:
    (batch,) = cut("same", "bad", "same", "good", "bad")
    vectors = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    refusal = errors.DocumentRefused(reason="no")
    return batch.result(Apart(vectors, accepted=[0, 2], refused={1: refusal}, tokens=7))


def summary(result: batches.Result) -> tuple[list[int], list[list[float]], dict[int, str], int]:
    return (
        [document.id for document in result.embedded],
        result.vectors.tolist(),
        {document.id: reason for document, reason in result.refused.items()},
        result.tokens,
    )


NO = "The provider refuses this document: no."


def test_an_answer_is_spread_over_all_documents_of_a_text() -> None:
    assert summary(answered()) == ([1, 3, 4], [[1, 2], [1, 2], [3, 4]], {2: NO, 5: NO}, 7)
    assert answered().vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("accepted", "refused", "embedded", "condemned"),
    [([0, 1], [], [1, 3, 2], []), ([], [0, 1], [], [1, 3, 2])],
)
def test_an_answer_may_be_all_vectors_or_all_refusals(
    accepted: list[int], refused: list[int], embedded: list[int], condemned: list[int]
) -> None:
    (batch,) = cut("same", "other", "same")
    vectors = np.ones((len(accepted), 3), np.float32)
    errors_by_position = {position: errors.DocumentRefused(reason="no") for position in refused}
    result = batch.result(Apart(vectors, accepted, errors_by_position, tokens=2))
    assert [document.id for document in result.embedded] == embedded
    assert result.vectors.shape == (len(embedded), 3)
    assert [document.id for document in result.refused] == condemned


def test_the_halves_of_a_result_are_the_whole_and_what_is_counted_is_counted_once() -> None:
    first, second = answered().halves()
    assert summary(first) == ([1], [[1, 2]], {2: NO, 5: NO}, 7)
    assert summary(second) == ([3, 4], [[1, 2], [3, 4]], {}, 0)


def test_a_result_that_the_database_refuses_condemns_its_own_documents_and_keeps_the_rest() -> None:
    refused = answered().refused_for("The database refuses its vector.")
    reason = "The database refuses its vector."
    assert summary(refused) == ([], [], {2: NO, 5: NO, 1: reason, 3: reason, 4: reason}, 7)
    # Still a matrix, as the write wants one
    assert refused.vectors.shape == (0, 2)
