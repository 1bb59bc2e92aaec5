"""The provider against a real HTTP server that answers whatever a test tells it to."""

import base64
import json
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from reembed import errors, settings
from reembed.embedding import provider

KEY = "sk-test-0123456789"
MODEL = settings.Model("small", 4, document_prefix="passage: ", query_prefix="query: ")


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    # Bytes of the body that are sent before the connection is dropped; -1 drops it before the status line
    dropped_after: int | None = None
    delay: float = 0.0


class Server(ThreadingHTTPServer):
    """Answers every request with `answer(request)`; remembers requests, headers and connections."""

    daemon_threads = True
    answer: Callable[[dict[str, Any]], Answer]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.connections = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that no longer waits for its answer is what a test is about."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes, which would wait for each other's acknowledgement
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.paths.append(self.path)
        answer = self.server.answer(request)
        time.sleep(answer.delay)
        if answer.dropped_after is not None:
            self.close_connection = True
        if answer.dropped_after == -1:
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: answer.dropped_after])

    def log_message(self, *_args: object) -> None:
        pass


def vector(text: str, dimensions: int = MODEL.dimensions) -> list[float]:
    return [float(len(text)), *[0.5] * (dimensions - 1)]


def packed(numbers: list[float]) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


def embeddings(vectors: list[Any], tokens: int = 0) -> Answer:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(vectors)]
    return Answer(body=json.dumps({"data": data, "usage": {"prompt_tokens": tokens}}).encode())


def in_base64(request: dict[str, Any]) -> Answer:
    return embeddings([packed(vector(text)) for text in request["input"]], tokens=7)


def as_numbers(request: dict[str, Any]) -> Answer:
    return embeddings([vector(text) for text in request["input"]])


def shuffled(request: dict[str, Any]) -> Answer:
    answer = json.loads(in_base64(request).body)
    answer["data"].reverse()
    return Answer(body=json.dumps(answer).encode())


def failing(
    status: int, message: str = "", code: str | None = None, **headers: str
) -> Callable[[Any], Answer]:
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return lambda _request: Answer(
        status, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def small(server: Server) -> Iterator[provider.Provider]:
    endpoint = settings.Endpoint(server.base_url, SecretStr(KEY))
    with provider.Provider(endpoint, MODEL, timeout_seconds=0.5) as small:
        yield small


@pytest.mark.parametrize("answer", [in_base64, as_numbers, shuffled])
def test_documents_become_a_matrix_in_their_order(
    server: Server, small: provider.Provider, answer: Callable[[Any], Answer]
) -> None:
    server.answer = answer
    texts = ["a", "bb", "ccc"]
    embedded = small.embed_documents(texts)
    assert embedded.vectors.dtype == np.float32
    assert embedded.vectors.tolist() == [vector(f"passage: {text}") for text in texts]
    assert embedded.tokens == (0 if answer is as_numbers else 7)


def test_one_request_is_what_the_openai_api_expects(server: Server, small: provider.Provider) -> None:
    server.answer = in_base64
    small.embed_documents(["a", "b"])
    assert server.paths == ["/v1/embeddings"]
    assert server.requests == [
        {
            "model": "small",
            "input": ["passage: a", "passage: b"],
            "encoding_format": "base64",
            "dimensions": 4,
        }
    ]
    headers = server.headers[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"


def test_a_query_has_a_prefix_of_its_own(server: Server, small: provider.Provider) -> None:
    server.answer = in_base64
    assert small.embed_query("a").tolist() == vector("query: a")
    assert server.requests[0]["input"] == ["query: a"]


def test_connections_are_kept_and_shared_by_threads(server: Server) -> None:
    server.answer = in_base64
    endpoint = settings.Endpoint(server.base_url, SecretStr(KEY))
    with provider.Provider(endpoint, MODEL, connections=2) as small:
        for _ in range(5):
            small.embed_query("a")
        assert server.connections == 1
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(small.embed_query, "abcdefghijklmnopqrst"))
    assert server.connections == 2
    assert len(server.requests) == 25


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (
            failing(401, f"Incorrect API key: {KEY}"),
            errors.ProviderRefusedKey,
            "Incorrect API key: [key] (status 401)",
        ),
        (failing(403, "Not you"), errors.ProviderRefusedKey, "Not you (status 403)"),
        (failing(404, "No model small"), errors.ProviderUnknownModel, "No model small (status 404)"),
        (failing(400, "No", "model_not_found"), errors.ProviderUnknownModel, "No (status 400)"),
        (failing(429, "Spent", "insufficient_quota"), errors.ProviderQuotaSpent, "Spent (status 429)"),
        (failing(400, "Bad: 'passage: a'"), errors.RequestRefused, "Bad: [text] (status 400)"),
        (failing(413, "Too much"), errors.RequestRefused, "Too much (status 413)"),
        (failing(422, "Malformed"), errors.RequestRefused, "Malformed (status 422)"),
        (failing(405), errors.Broken, "status 405, and not a word"),
        (failing(408), errors.ProviderUnavailable, "status 408, and not a word"),
        (failing(409), errors.ProviderUnavailable, "status 409, and not a word"),
        (failing(500, "Oops"), errors.ProviderUnavailable, "Oops (status 500)"),
        (failing(503), errors.ProviderUnavailable, "status 503, and not a word"),
        (lambda _: embeddings([]), errors.ProviderAnsweredWrongly, "0 vectors for 1 texts"),
        (
            lambda _: embeddings([packed(vector("", 3))]),
            errors.ProviderAnsweredWrongly,
            "a vector has 3 dimensions, not 4",
        ),
        (
            lambda _: embeddings([packed([float("nan")] * 4)]),
            errors.ProviderAnsweredWrongly,
            "a vector has NaN or infinite values",
        ),
        (
            lambda _: embeddings([packed([0.0] * 4)]),
            errors.RequestRefused,
            "the model answers a text with a zero vector",
        ),
        (
            lambda _: Answer(dropped_after=-1),
            errors.ProviderUnavailable,
            "Server disconnected without sending a response",
        ),
        (
            lambda _: Answer(body=b"x" * 100, dropped_after=10),
            errors.ProviderUnavailable,
            "peer closed connection without sending complete message body (received 10 bytes, expected 100)",
        ),
        (
            lambda _: Answer(body=b'{"data":[{"'),
            errors.ProviderUnavailable,
            "of 11 bytes is no complete JSON",
        ),
        (lambda _: Answer(delay=0.8), errors.ProviderUnavailable, "no answer in time (ReadTimeout)"),
    ],
)
def test_a_failure_is_charged_to_whom_it_belongs(
    server: Server,
    small: provider.Provider,
    answer: Callable[[Any], Answer],
    error: type[errors.ReembedError],
    said: str,
) -> None:
    server.answer = answer
    with pytest.raises(errors.ReembedError) as caught:
        small.embed_documents(["a"])
    assert type(caught.value) is error
    assert said in str(caught.value)
    assert len(server.requests) == 1  # no retry, neither ours nor the client's
    trace = "".join(traceback.format_exception(caught.value))
    assert KEY not in trace
    assert "passage: a" not in trace


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_the_provider_asks_for_is_carried(
    server: Server, small: provider.Provider, status: int
) -> None:
    server.answer = failing(status, retry_after_ms="2500")
    with pytest.raises(errors.Transient) as caught:
        small.embed_query("a")
    assert caught.value.retry_after == 2.5


def test_the_provider_answers_again_after_a_failure(server: Server, small: provider.Provider) -> None:
    server.answer = lambda _: Answer(dropped_after=-1)
    with pytest.raises(errors.ProviderUnavailable):
        small.embed_query("a")
    server.answer = in_base64
    assert small.embed_query("a").shape == (4,)


def refuses_dimensions(request: dict[str, Any]) -> Answer:
    if "dimensions" in request:
        return failing(400, "Dimensions cannot be specified for this model")(request)
    return in_base64(request)


def test_dimensions_are_sent_no_more_once_the_server_refuses_them(
    server: Server, small: provider.Provider
) -> None:
    server.answer = refuses_dimensions
    for _ in range(3):
        assert small.embed_query("a").shape == (4,)
    assert ["dimensions" in request for request in server.requests] == [True, False, False, False]


def test_the_width_is_checked_without_dimensions_too(server: Server) -> None:
    server.answer = refuses_dimensions
    endpoint = settings.Endpoint(server.base_url, SecretStr(KEY))
    with (
        provider.Provider(endpoint, settings.Model("small", 8)) as wide,
        pytest.raises(errors.ProviderAnsweredWrongly) as caught,
    ):
        wide.embed_query("a")
    assert str(caught.value) == (
        "The provider's answer for small (8) cannot be used: a vector has 4 dimensions, not 8. "
        "Check EMBED_MODEL and EMBED_DIMENSIONS."
    )


def test_a_refusal_that_only_mentions_dimensions_does_not_stop_their_being_sent(
    server: Server, small: provider.Provider
) -> None:
    server.answer = failing(400, "A text about dimensions is too long")
    with pytest.raises(errors.RequestRefused):
        small.embed_query("a")
    server.answer = in_base64
    small.embed_query("a")
    assert ["dimensions" in request for request in server.requests] == [True, False, True]


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("http://127.0.0.1:1/v1", "Connection refused"),
        ("http://nowhere.invalid/v1", "nowhere.invalid/v1 cannot be reached"),
        ("localhost/v1", "Request URL is missing an 'http://' or 'https://' protocol"),
        ("http://a\nb/v1", "Invalid non-printable ASCII character in URL"),
    ],
)
def test_an_address_where_nobody_answers_is_the_configurations_fault(base_url: str, reason: str) -> None:
    endpoint = settings.Endpoint(base_url, SecretStr(KEY))
    with pytest.raises(errors.ProviderUnreachable) as caught, provider.Provider(endpoint, MODEL) as lost:
        lost.embed_query("a")
    assert reason in str(caught.value)
    assert str(caught.value).endswith(". Check OPENAI_BASE_URL.")


def test_a_server_that_does_not_speak_tls_cannot_be_reached_by_it(server: Server) -> None:
    endpoint = settings.Endpoint(server.base_url.replace("http:", "https:"), SecretStr(KEY))
    with provider.Provider(endpoint, MODEL) as tls, pytest.raises(errors.ProviderUnreachable) as caught:
        tls.embed_query("a")
    assert "SSL" in str(caught.value)


def test_a_password_in_the_address_is_not_shown(server: Server) -> None:
    server.answer = failing(404)
    endpoint = settings.Endpoint(server.base_url.replace("//", "//user:secret@"), SecretStr(KEY))
    with provider.Provider(endpoint, MODEL) as small, pytest.raises(errors.ProviderUnknownModel) as caught:
        small.embed_query("a")
    assert server.base_url in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "sk-test\n", "clé"])
def test_a_key_that_no_header_can_hold_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(errors.ProviderRefusedKey) as caught:
        provider.Provider(settings.Endpoint("http://provider/v1", SecretStr(key)), MODEL)
    assert str(caught.value) == (
        "The provider at http://provider/v1 refused the API key: it is empty, or no header can hold it: "
        "look for a line break at its end. Set OPENAI_API_KEY to a key that may use the model."
    )
