"""A job's lines: what is asked for, and what an answer says about it."""

import base64
from typing import Any

import numpy as np
import orjson
import pytest

from reembed import errors, settings
from reembed.embedding import faults, job_lines

MODEL = settings.Model("small", 3)
ASKED = faults.Asked("http://provider/v1", "small", "sk-secret-key", ["a poisonous document"])


def line(status: int | None = 200, body: Any = None, **fields: Any) -> bytes:
    response = None if status is None else {"status_code": status, "request_id": "r", "body": body}
    return orjson.dumps({"id": "x", "custom_id": "n", "response": response, "error": None, **fields})


def vectors(*values: float) -> dict[str, Any]:
    packed = base64.b64encode(np.array(values, "<f4").tobytes()).decode()
    return {"data": [{"index": 0, "embedding": packed}], "usage": {"prompt_tokens": 7}}


def decoded(whole: bytes) -> job_lines.Answer:
    answer = job_lines.decode(whole)
    assert answer is not None
    return answer


def test_a_line_asks_for_one_text_as_a_request_would_and_is_named_by_it() -> None:
    encoded = job_lines.encode("prefix: text", "small", 3)
    assert encoded.endswith(b"}\n")
    assert orjson.loads(encoded) == {
        "custom_id": job_lines.name("prefix: text"),
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {"model": "small", "input": ["prefix: text"], "encoding_format": "base64", "dimensions": 3},
    }


def test_a_server_that_takes_no_dimensions_is_not_told_any() -> None:
    assert "dimensions" not in orjson.loads(job_lines.encode("text", "small", None))["body"]


def test_different_texts_have_different_names_and_none_is_longer_than_a_provider_takes() -> None:
    names = {job_lines.name(text) for text in ("a", "b", "a ", "", "ä", "\ud83d", "x" * 100_000)}
    assert len(names) == 7
    assert all(len(name) <= 64 for name in names)


def test_half_a_surrogate_pair_is_refused_before_it_is_sent() -> None:
    with pytest.raises(errors.RequestRefused):
        job_lines.encode("\ud83d", "small", 3)


def test_a_vector_comes_out_as_it_was_sent_with_its_bill() -> None:
    answer = decoded(line(body=vectors(1, 2, 3)))
    assert (answer.name, answer.status, answer.tokens) == ("n", 200, 7)
    assert job_lines.vector(answer, MODEL, ASKED).vectors.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    "whole",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"{}",
        b'{"custom_id": "n", "response": {"status_code": 200}}',
        b'{"custom_id": "n", "response": {"body": {}}}',
        b'{"custom_id": "n", "response": {"status_code": "many", "body": {}}}',
        line(body=vectors(1, 2, 3))[:-20],
    ],
)
def test_a_line_that_makes_no_sense_answers_nothing(whole: bytes) -> None:
    assert job_lines.decode(whole) is None


@pytest.mark.parametrize(
    ("whole", "error", "says"),
    [
        # Its turn never came
        (line(None, error={"code": "batch_expired", "message": "too late"}), errors.Transient, "turn"),
        (line(429, {"error": {"message": "slow down"}}), errors.Transient, "slow down"),
        (line(500, {"error": {"message": "oh"}}), errors.Transient, "oh"),
        # The text's own, in the provider's words, without the text and the key
        (
            line(400, {"error": {"message": "I hate 'a poisonous document', sk-secret-key"}}),
            errors.RequestRefused,
            r"I hate '\[text\]', \[key\]",
        ),
        (line(body=vectors(0, 0, 0)), errors.RequestRefused, "zero"),
        # Nobody's
        (line(401, {"error": {"message": "who are you"}}), errors.ProviderRefusedKey, "who are you"),
        (line(404, {"error": {"code": "model_not_found"}}), errors.ProviderUnknownModel, "small"),
        (line(body=vectors(1, 2)), errors.ProviderAnsweredWrongly, "2 dimensions"),
        (line(body=vectors(1, float("nan"), 3)), errors.ProviderAnsweredWrongly, "NaN"),
        (line(body={"data": []}), errors.ProviderAnsweredWrongly, "0 vectors"),
        (line(body="a page"), errors.ProviderAnsweredWrongly, "not a list"),
    ],
)
def test_a_fault_is_charged_as_if_the_text_had_been_asked_for_alone(
    whole: bytes, error: type[errors.ReembedError], says: str
) -> None:
    with pytest.raises(error, match=says):
        job_lines.vector(decoded(whole), MODEL, ASKED)


@pytest.mark.parametrize("dimensions", [64, 768, 3_072])
def test_the_length_of_an_answer_is_not_underrated(dimensions: int) -> None:
    packed = base64.b64encode(np.ones(dimensions, "<f4").tobytes()).decode()
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": packed}],
        "model": "text-embedding-3-large",
        "usage": {"prompt_tokens": 8_192, "total_tokens": 8_192},
    }
    response = {"status_code": 200, "request_id": "req_" + 32 * "0", "body": body}
    whole = {"id": "batch_req_" + 32 * "0", "custom_id": 32 * "0", "response": response, "error": None}
    assert (
        len(orjson.dumps(whole)) <= job_lines.answer_bytes(dimensions) <= 2 * len(orjson.dumps(whole)) + 600
    )
