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


def test_a_batch_holds_no_more_texts_than_a_request_may() -> None:
    cut = list(batches.cut(page("a", "b", "c", "d", "e"), "", settings(embed_batch_size=2)))
    assert [batch.texts for batch in cut] == [["a", "b"], ["c", "d"], ["e"]]


def test_a_batch_holds_no_more_tokens_than_a_request_may() -> None:
    cut = list(batches.cut(page("one two three", "four five", "six"), "", settings(embed_batch_tokens=5)))
    assert [batch.texts for batch in cut] == [["one two three", "four five"], ["six"]]
    assert [batch.estimated_tokens for batch in cut] == [5, 1]


def test_tokens_are_estimated_only_where_they_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given requests that are full of documents long before they are full of tokens
    texts = page(*("one two three" for _ in range(4)), *"abc")
    full = [batch.texts for batch in batches.cut(texts, "", settings(embed_batch_size=2))]
    counted: list[str] = []

    def estimate(text: str) -> int:
        counted.append(text)
        return 1

    monkeypatch.setattr(tokens, "estimate", estimate)
    # Then a bound is enough
    assert [batch.texts for batch in batches.cut(texts, "", settings(embed_batch_size=2))] == full
    assert set(counted) <= {""}
    # But not for a quota, which would be wasted
    list(batches.cut(texts, "", settings(embed_batch_size=2, embed_tokens_per_minute=1_000)))
    assert set(counted) > {""}


def test_identical_texts_are_one_text_of_the_request() -> None:
    (batch,) = batches.cut(page("same", "other", "same"), "", settings())
    assert (batch.texts, ids(batch)) == (["same", "other"], [[1, 3], [2]])


def test_an_over_long_text_is_cut_or_left_to_the_provider() -> None:
    long = "word " * 100
    (cut,) = batches.cut(page(long), "", settings(embed_max_input_tokens=10))
    assert long.startswith(cut.texts[0])
    assert 0 < len(cut.texts[0]) < 60
    (whole,) = batches.cut(page(long), "", settings(embed_max_input_tokens=10, embed_overlong="fail"))
    assert whole.texts == [long]


def test_the_prefix_counts_like_the_rest_of_a_text() -> None:
    (batch,) = batches.cut(page("one two"), "passage: ", settings(embed_tokens_per_minute=1_000))
    assert batch.estimated_tokens == 2 + tokens.estimate("passage: ")
    (cut,) = batches.cut(page("word " * 100), "passage: ", settings(embed_max_input_tokens=10))
    assert tokens.estimate("passage: " + cut.texts[0]) <= 10


def test_an_answer_is_spread_over_all_documents_of_a_text() -> None:
    (batch,) = batches.cut(page("same", "bad", "same", "good", "bad"), "", settings())
    vectors = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    refusal = errors.DocumentRefused(reason="no")
    result = batch.result(Apart(vectors, accepted=[0, 2], refused={1: refusal}, tokens=7))
    assert [document.id for document in result.embedded] == [1, 3, 4]
    assert result.vectors.tolist() == [[1, 2], [1, 2], [3, 4]]
    assert {document.id: reason for document, reason in result.refused.items()} == {
        2: str(refusal),
        5: str(refusal),
    }
    assert result.tokens == 7
