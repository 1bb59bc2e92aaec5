"""The bytes of a request and of its answer."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from reembed import errors, settings
from reembed.embedding import wire

MODEL = settings.Model("small", 3)


def packed(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


def answer(*embeddings: Any, usage: Any = None) -> bytes:
    data = [{"index": index, "embedding": embedding} for index, embedding in enumerate(embeddings)]
    return json.dumps({"data": data, "usage": usage}).encode()


@pytest.mark.parametrize(
    ("dimensions", "request_"),
    [
        (3, {"model": "small", "input": ["a", "é"], "encoding_format": "base64", "dimensions": 3}),
        (None, {"model": "small", "input": ["a", "é"], "encoding_format": "base64"}),
    ],
)
def test_a_request_asks_for_base64(dimensions: int | None, request_: dict[str, object]) -> None:
    assert orjson.loads(wire.encode(["a", "é"], "small", dimensions)) == request_


def test_a_text_that_is_not_unicode_is_refused_before_it_is_sent() -> None:
    with pytest.raises(errors.RequestRefused) as caught:
        wire.encode(["fine", "\ud83d"], "small", 3)
    assert str(caught.value) == (
        "The provider refused a request: a text has half a surrogate pair, which UTF-8 cannot hold."
    )


@pytest.mark.parametrize(
    "embeddings",
    [
        pytest.param([packed(1, 2, 3), packed(4, 5, 6)], id="base64"),
        pytest.param([[1, 2, 3], [4.0, 5.0, 6.0]], id="numbers"),
        pytest.param([packed(1, 2, 3), [4, 5, 6]], id="one of each"),
    ],
)
def test_vectors_come_as_base64_or_as_numbers(embeddings: Sequence[Any]) -> None:
    embedded = wire.decode(answer(*embeddings), 2, MODEL)
    assert embedded.vectors.dtype == np.float32
    assert embedded.vectors.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("dimensions", [1, 2, 3, 768, 1_024])
def test_every_byte_of_base64_arrives_whatever_its_padding(dimensions: int) -> None:
    # Every value of a byte, so every sign of the alphabet, the two beyond letters and digits among them
    sent = np.arange(4 * dimensions, dtype=np.uint8).view("<f4")
    sent = np.where(np.isfinite(sent) & (sent != 0), sent, np.float32(1.5))
    model = settings.Model("small", dimensions)
    assert wire.decode(answer(packed(*sent)), 1, model).vectors.tobytes() == sent.astype("<f4").tobytes()


def test_vectors_are_ordered_by_their_index_and_may_be_written_to() -> None:
    data = [{"index": index, "embedding": packed(index, 0, 1)} for index in (2, 0, 1)]
    embedded = wire.decode(orjson.dumps({"data": data}), 3, MODEL)
    assert embedded.vectors[:, 0].tolist() == [0, 1, 2]
    assert embedded.vectors.flags.writeable


def test_vectors_without_an_index_are_in_the_order_of_the_texts() -> None:
    body = orjson.dumps({"data": [{"embedding": packed(1, 0, 0)}, {"embedding": packed(2, 0, 0)}]})
    assert wire.decode(body, 2, MODEL).vectors[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"prompt_tokens": 17, "total_tokens": 17}, 17), ({"prompt_tokens": None}, 0), ({}, 0), (None, 0)],
)
def test_tokens_are_those_that_the_provider_reports(usage: Any, tokens: int) -> None:
    assert wire.decode(answer(packed(1, 2, 3), usage=usage), 1, MODEL).tokens == tokens


NO_LIST = "it is not a list of embeddings"
NOT_FINITE = "a vector has NaN or infinite values"
NO_VECTOR = "a text has no vector, or two"


@pytest.mark.parametrize(
    ("body", "texts", "reason"),
    [
        pytest.param(answer(packed(1, 2, 3)), 2, "1 vectors for 2 texts", id="too few"),
        pytest.param(answer(packed(1, 2, 3), packed(1, 2, 3)), 1, "2 vectors for 1 texts", id="too many"),
        pytest.param(answer(packed(1, 2)), 1, "a vector has 2 dimensions, not 3", id="narrow"),
        pytest.param(answer([1, 2, 3, 4]), 1, "a vector has 4 dimensions, not 3", id="wide"),
        pytest.param(answer("AAAAAAAA"), 1, "a vector has 1.5 dimensions, not 3", id="not even float32"),
        pytest.param(answer(packed(1, float("nan"), 3)), 1, NOT_FINITE, id="NaN in base64"),
        pytest.param(answer([1, float("nan"), 3]), 1, NOT_FINITE, id="NaN as a number"),
        pytest.param(answer([1, None, 3]), 1, NOT_FINITE, id="null for NaN"),
        pytest.param(answer(packed(1, float("-inf"), 3)), 1, NOT_FINITE, id="infinite"),
        pytest.param(answer([1, 1e300, 3]), 1, NOT_FINITE, id="too large for float32"),
        pytest.param(answer(None), 1, NO_VECTOR, id="null for a vector"),
        pytest.param(
            b'{"data":[{"index":0,"embedding":[1,2,3]},{"index":0,"embedding":[1,2,3]}]}',
            2,
            NO_VECTOR,
            id="twice",
        ),
        pytest.param(b'{"data":[{"index":1,"embedding":[1,2,3]}]}', 1, NO_LIST, id="index out of range"),
        pytest.param(answer("ABC"), 1, NO_LIST, id="not base64"),
        pytest.param(answer(["a", "b", "c"]), 1, NO_LIST, id="not numbers"),
        pytest.param(b'{"error":{"message":"overloaded"}}', 1, NO_LIST, id="an error with status 200"),
        pytest.param(b"[]", 1, NO_LIST, id="another JSON"),
        pytest.param(b'{"data":null}', 1, NO_LIST, id="no data"),
        pytest.param(b'{"data":["x"]}', 1, NO_LIST, id="no objects"),
    ],
)
def test_an_answer_that_no_text_explains_stops_the_migration(body: bytes, texts: int, reason: str) -> None:
    with pytest.raises(errors.ProviderAnsweredWrongly) as caught:
        wire.decode(body, texts, MODEL)
    assert str(caught.value) == (
        f"The provider's answer for small (3) cannot be used: {reason}. "
        "Check EMBED_MODEL and EMBED_DIMENSIONS."
    )


def test_a_zero_vector_may_be_one_texts_own_fault() -> None:
    with pytest.raises(errors.RequestRefused) as caught:
        wire.decode(answer(packed(1, 2, 3), packed(0, 0, 0)), 2, MODEL)
    assert str(caught.value) == "The provider refused a request: the model answers a text with a zero vector."


@pytest.mark.parametrize("body", [answer(packed(1, 2, 3))[:-9], b"", b"<html>", b'{"data":[{"emb'])
def test_half_a_body_is_a_passing_fault(body: bytes) -> None:
    with pytest.raises(errors.ProviderUnavailable) as caught:
        wire.decode(body, 1, MODEL)
    assert str(caught.value) == (
        f"The provider did not answer properly: its answer of {len(body)} bytes is no complete JSON."
    )
