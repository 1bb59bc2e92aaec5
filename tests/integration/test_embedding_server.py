"""The built-in embedding server, in its own process, over real HTTP, asked by the openai package."""

import base64
import http.client
import time
import urllib.error
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr

from orchestrator.embedded import provider
from orchestrator.embedding_server import models
from reembed import errors, settings
from reembed.embedding.provider import Provider

MODEL = "lexical-words"
TEXTS = ["Open a file for reading.", "The night sky is full of stars.", "日本語"]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[provider.EmbeddingServer]:
    yield from serve(tmp_path_factory.mktemp("server"))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[provider.EmbeddingServer]:
    """For tests that let it misbehave or read what it counted."""
    yield from serve(tmp_path)


def serve(directory: Path) -> Iterator[provider.EmbeddingServer]:
    server = provider.EmbeddingServer(directory)
    try:
        server.launch()
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def embed(server: provider.EmbeddingServer, texts: Any, model: str = MODEL, **options: Any) -> Any:
    with openai.OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0) as client:
        return client.embeddings.create(model=model, input=texts, **options)


def refusal(server: provider.EmbeddingServer, texts: Any, model: str = MODEL, **options: Any) -> Any:
    with pytest.raises(openai.APIStatusError) as refused:
        embed(server, texts, model, **options)
    return refused.value


def decode(embedding: str | list[float]) -> NDArray[np.float32]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4")
    return np.array(embedding, dtype=np.float32)


def post(server: provider.EmbeddingServer, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a request that the openai package would not send."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request("POST", "/v1/embeddings", body, {"Authorization": f"Bearer {server.api_key}"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_floats_and_base64_carry_the_same_vectors_and_they_are_the_models(
    shared_server: provider.EmbeddingServer,
) -> None:
    for model in models.SERVED:
        expected = models.embed(model, TEXTS)
        for encoding in ("float", "base64"):
            answer = embed(shared_server, TEXTS, model, encoding_format=encoding)
            for item, vector in zip(answer.data, expected, strict=True):
                np.testing.assert_array_equal(decode(item.embedding), vector)


def test_the_answer_has_the_shape_of_openais(shared_server: provider.EmbeddingServer) -> None:
    answer = embed(shared_server, TEXTS, dimensions=32)
    assert answer.object == "list"
    assert answer.model == MODEL
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert {item.object for item in answer.data} == {"embedding"}
    assert {len(item.embedding) for item in answer.data} == {32}
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(map(models.count_tokens, TEXTS))


def test_a_single_string_is_one_input(shared_server: provider.EmbeddingServer) -> None:
    assert len(embed(shared_server, "one text").data) == 1


def test_the_models_are_listed(shared_server: provider.EmbeddingServer) -> None:
    with openai.OpenAI(base_url=shared_server.base_url, api_key=shared_server.api_key) as client:
        assert {model.id for model in client.models.list()} == set(models.SERVED)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["x"] * 2_049, "'$.input' is invalid"),
        ([], "'$.input' is invalid"),
        (["fine", ""], "'$.input' is invalid"),
        ([[1, 2]], "'$.input' is invalid"),
        (
            ["? " * 8_193],
            "This model's maximum context length is 8192 tokens, however you requested 8193 tokens",
        ),
        (["? " * 8_000] * 37 + ["? " * 4_001], "Requested 300001 tokens, max 300000 tokens per request"),
    ],
)
def test_what_openai_would_not_embed_is_refused_with_400_in_its_words(
    shared_server: provider.EmbeddingServer, texts: Any, words: str
) -> None:
    refused = refusal(shared_server, texts)
    assert refused.status_code == 400
    assert words in refused.message


@pytest.mark.parametrize("texts", [["x"] * 2_048, ["? " * 8_192], ["? " * 8_000] * 37 + ["? " * 4_000]])
def test_what_is_just_within_a_limit_is_embedded(shared_server: provider.EmbeddingServer, texts: Any) -> None:
    assert len(embed(shared_server, texts, dimensions=4).data) == len(texts)


def test_too_many_tokens_in_a_request_have_a_code_of_their_own(
    shared_server: provider.EmbeddingServer,
) -> None:
    assert refusal(shared_server, ["? " * 8_000] * 38).code == "max_tokens_per_request"


@pytest.mark.parametrize("dimensions", [0, 16_001, True])
def test_a_width_that_the_model_does_not_have_is_refused(
    shared_server: provider.EmbeddingServer, dimensions: int
) -> None:
    refused = refusal(shared_server, TEXTS, dimensions=dimensions)
    assert (refused.status_code, refused.param) == (400, "dimensions")


@pytest.mark.skipif("wordllama-256" not in models.SERVED, reason="the wordllama wheel is not installed")
def test_wordllama_is_cut_to_the_widths_it_was_trained_for_and_to_no_other(
    shared_server: provider.EmbeddingServer,
) -> None:
    short = np.array(embed(shared_server, TEXTS, "wordllama-256", dimensions=64).data[0].embedding)
    full = np.array(embed(shared_server, TEXTS, "wordllama-256").data[0].embedding)
    np.testing.assert_allclose(short, full[:64] / np.linalg.norm(full[:64]), atol=1e-6)
    assert refusal(shared_server, TEXTS, "wordllama-256", dimensions=100).status_code == 400


def test_a_wrong_key_is_refused_with_401(shared_server: provider.EmbeddingServer) -> None:
    with (
        openai.OpenAI(base_url=shared_server.base_url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.embeddings.create(model=MODEL, input=TEXTS)
    assert refused.value.code == "invalid_api_key"
    assert "sk-wrong" not in refused.value.message


def test_an_unknown_model_is_refused_with_404(shared_server: provider.EmbeddingServer) -> None:
    refused = refusal(shared_server, TEXTS, "text-embedding-none")
    assert (refused.status_code, refused.code) == (404, "model_not_found")


@pytest.mark.parametrize("body", [b"{not json", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused_with_400(
    shared_server: provider.EmbeddingServer, body: bytes
) -> None:
    status, answer = post(shared_server, body)
    assert status == 400
    assert b"We could not parse the JSON body of your request." in answer


def test_a_retired_model_answers_404_until_it_is_restored(own_server: provider.EmbeddingServer) -> None:
    own_server.retire(MODEL)
    refused = refusal(own_server, TEXTS)
    assert (refused.status_code, refused.code) == (404, "model_not_found")
    assert f"This model `{MODEL}` has been deprecated" in refused.message
    assert len(embed(own_server, TEXTS, "lexical-ngrams").data) == len(TEXTS)
    own_server.restore(MODEL)
    assert len(embed(own_server, TEXTS).data) == len(TEXTS)


def test_usage_counts_what_was_embedded_and_tells_what_was_embedded_twice(
    own_server: provider.EmbeddingServer,
) -> None:
    embed(own_server, ["one", "two"])
    embed(own_server, ["two", "three four"])
    embed(own_server, ["one"], "lexical-ngrams")
    refusal(own_server, [""])
    usage = own_server.usage()
    assert usage[MODEL] == {"requests": 2, "texts": 4, "distinct_texts": 3, "tokens": 5}
    assert usage["lexical-ngrams"] == {"requests": 1, "texts": 1, "distinct_texts": 1, "tokens": 1}


def test_a_request_with_a_poisonous_text_is_refused_whole_and_others_are_not(
    own_server: provider.EmbeddingServer,
) -> None:
    own_server.refuse("poison")
    refused = refusal(own_server, ["fine", "some poison here"])
    assert (refused.status_code, refused.code) == (400, "content_filter")
    assert len(embed(own_server, ["fine"]).data) == 1
    own_server.accept("poison")
    assert len(embed(own_server, ["some poison here"]).data) == 1


def test_every_request_counts_as_arrived_whatever_it_is_answered(
    own_server: provider.EmbeddingServer,
) -> None:
    before = time.time()
    own_server.fail(503)
    refusal(own_server, TEXTS)
    embed(own_server, TEXTS)
    first, second = own_server.arrivals()
    assert before <= first <= second <= time.time()


def test_the_next_requests_fail_as_told_and_then_it_answers_again(
    own_server: provider.EmbeddingServer,
) -> None:
    own_server.fail(429, times=2, headers={"retry-after": "7"}, code="rate_limit_exceeded")
    for _ in range(2):
        refused = refusal(own_server, TEXTS)
        assert (refused.status_code, refused.code) == (429, "rate_limit_exceeded")
        assert refused.response.headers["retry-after"] == "7"
    assert len(embed(own_server, TEXTS).data) == len(TEXTS)


def test_for_a_while_every_request_fails_as_told_unless_it_is_told_to_recover(
    own_server: provider.EmbeddingServer,
) -> None:
    own_server.fail(503, seconds=2)
    ends = time.monotonic() + 2
    assert refusal(own_server, TEXTS).status_code == 503
    time.sleep(max(ends - time.monotonic(), 0))
    assert len(embed(own_server, TEXTS).data) == len(TEXTS)
    own_server.fail(503, seconds=60)
    own_server.recover()
    assert len(embed(own_server, TEXTS).data) == len(TEXTS)


@pytest.mark.parametrize(
    ("how", "error", "words", "billed"),
    [
        ("drop", errors.ProviderUnavailable, "disconnected", 0),
        ("half", errors.ProviderUnavailable, "without sending complete", 3),
        ("hang", errors.ProviderUnavailable, "no answer in time", 3),
        ("narrow", errors.ProviderAnsweredWrongly, "31 dimensions, not 32", 3),
        ("nan", errors.ProviderAnsweredWrongly, "NaN or infinite", 3),
        ("infinite", errors.ProviderAnsweredWrongly, "NaN or infinite", 3),
        ("fewer", errors.ProviderAnsweredWrongly, "2 vectors for 3 texts", 3),
    ],
)
def test_an_answer_that_breaks_or_lies_is_the_providers_fault_and_the_next_one_is_whole(
    own_server: provider.EmbeddingServer, how: str, error: type[Exception], words: str, billed: int
) -> None:
    endpoint = settings.Endpoint(own_server.base_url, SecretStr(own_server.api_key))
    with Provider(endpoint, settings.Model(MODEL, 32), timeout_seconds=2) as asking:
        own_server.spoil(how)
        with pytest.raises(error, match=words):
            asking.embed_documents(TEXTS)
        assert own_server.usage()[MODEL]["texts"] == billed
        assert asking.embed_documents(TEXTS).vectors.shape == (3, 32)


def test_a_server_that_left_refuses_connections_and_comes_back_at_the_same_address(
    own_server: provider.EmbeddingServer,
) -> None:
    own_server.leave(2)
    with pytest.raises(openai.APIConnectionError):
        embed(own_server, TEXTS)
    deadline = time.monotonic() + 60
    while True:
        try:
            answered = embed(own_server, TEXTS)
        except openai.APIConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            break
    assert len(answered.data) == len(TEXTS)


def test_a_request_waits_as_long_as_told(own_server: provider.EmbeddingServer) -> None:
    own_server.set_latency(300)
    before = time.monotonic()
    embed(own_server, TEXTS)
    assert time.monotonic() - before >= 0.3


def test_control_needs_the_key_too(own_server: provider.EmbeddingServer) -> None:
    own_server.api_key = "wrong"
    with pytest.raises(urllib.error.HTTPError) as refused:
        own_server.usage()
    with refused.value as answer:
        assert answer.code == 401
