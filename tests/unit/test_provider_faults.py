"""What a provider's refusal means, and what of its words may be shown."""

import json
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai
import pytest

from reembed import errors
from reembed.embedding import faults, words

URL = "http://provider/v1"
KEY = "sk-proj-abcdefghijklmnop"
ASKED = faults.Asked(URL, "small", KEY, ["the first document", "the second document"])

MEND = "Mend the cause, then `reembed resume`."
SET_KEY = "Set OPENAI_API_KEY to a key that may use the model."
SET_MODEL = "Set EMBED_MODEL to one it serves; a base URL that lacks its /v1 is answered like this, too."
RAISE_QUOTA = "Waiting does not mend this; raise the quota with the provider."
REFUSED_KEY = f"The provider at {URL} refused the API key"
UNKNOWN_MODEL = f"The provider at {URL} does not serve the model small"
QUOTA_SPENT = f"The quota of the provider at {URL} is spent"


def openai_error(message: str, code: str | None = None, kind: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (
            401,
            openai_error(f"Incorrect API key provided: {KEY}.", "invalid_api_key"),
            errors.ProviderRefusedKey,
            f"{REFUSED_KEY}: Incorrect API key provided: [key] (status 401). {SET_KEY}",
        ),
        (
            403,
            b"Forbidden",
            errors.ProviderRefusedKey,
            f"{REFUSED_KEY}: Forbidden (status 403). {SET_KEY}",
        ),
        (
            403,
            openai_error("Project p has no access to small", "model_not_found"),
            errors.ProviderUnknownModel,
            f"{UNKNOWN_MODEL}: Project p has no access to small (status 403). {SET_MODEL}",
        ),
        (
            404,
            b'{"detail":"Not Found"}',
            errors.ProviderUnknownModel,
            f"{UNKNOWN_MODEL}: Not Found (status 404). {SET_MODEL}",
        ),
        (
            400,
            openai_error("No such model.", "model_not_found"),
            errors.ProviderUnknownModel,
            f"{UNKNOWN_MODEL}: No such model (status 400). {SET_MODEL}",
        ),
        (
            400,
            openai_error("API key not valid", "invalid_api_key"),
            errors.ProviderRefusedKey,
            f"{REFUSED_KEY}: API key not valid (status 400). {SET_KEY}",
        ),
        (
            429,
            openai_error("You exceeded your current quota", "insufficient_quota"),
            errors.ProviderQuotaSpent,
            f"{QUOTA_SPENT}: You exceeded your current quota (status 429). {RAISE_QUOTA}",
        ),
        (
            429,
            openai_error("Hard limit", "billing_hard_limit_reached"),
            errors.ProviderQuotaSpent,
            f"{QUOTA_SPENT}: Hard limit (status 429). {RAISE_QUOTA}",
        ),
        (
            429,
            openai_error("You exceeded your current quota", kind="insufficient_quota"),
            errors.ProviderQuotaSpent,
            f"{QUOTA_SPENT}: You exceeded your current quota (status 429). {RAISE_QUOTA}",
        ),
        (
            402,
            b'{"detail":"Insufficient balance"}',
            errors.ProviderQuotaSpent,
            f"{QUOTA_SPENT}: Insufficient balance (status 402). {RAISE_QUOTA}",
        ),
        (
            429,
            openai_error("Rate limit reached.", "rate_limit_exceeded"),
            errors.ProviderOverloaded,
            "The provider asks for patience: Rate limit reached (status 429).",
        ),
        (
            400,
            openai_error("maximum context length is 8192 tokens"),
            errors.RequestRefused,
            "The provider refused a request: maximum context length is 8192 tokens (status 400).",
        ),
        (
            413,
            b"<html><body>Payload Too Large</body></html>",
            errors.RequestRefused,
            "The provider refused a request: status 413, and not a word.",
        ),
        (
            422,
            b'{"detail":[{"loc":["body","input",3],"msg":"too short","input":"the first document"}]}',
            errors.RequestRefused,
            "The provider refused a request: body.input.3: too short (status 422).",
        ),
        (
            405,
            b"Method Not Allowed",
            errors.Broken,
            f"The migration cannot go on: the provider at {URL} has no use for the request: "
            f"Method Not Allowed (status 405). {MEND}",
        ),
        *(
            (
                status,
                b"",
                errors.ProviderUnavailable,
                f"The provider did not answer properly: status {status}, and not a word.",
            )
            for status in (408, 409, 500, 502, 503, 504, 529)
        ),
    ],
)
def test_a_status_is_charged_to_whom_it_belongs(
    status: int, body: bytes, kind: type[errors.ReembedError], message: str
) -> None:
    fault = faults.of_answer(status, {}, body, ASKED)
    assert type(fault) is kind
    assert str(fault) == message


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_passing_fault_carries_the_wait_that_the_provider_asks_for(status: int) -> None:
    fault = faults.of_answer(status, {"retry-after": "7"}, b"", ASKED)
    assert isinstance(fault, errors.Transient)
    assert fault.retry_after == 7


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "8"}, 8),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "8"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "8"}, 8),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "Thu, 01 Jan 2026 12:01:30 GMT"}, 90),
        ({"retry-after": "Thu, 01 Jan 2026 12:01:30 -0000"}, 90),
        ({"retry-after": "Thu, 01 Jan 2026 14:01:30 +0200"}, 90),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_the_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert faults.retry_after(headers, NOON) == seconds


def silence(
    cause: Exception, root: Exception | None = None, timeout: bool = False
) -> openai.APIConnectionError:
    request = httpx2.Request("POST", URL)
    error = openai.APITimeoutError(request) if timeout else openai.APIConnectionError(request=request)
    cause.__cause__ = root
    error.__cause__ = cause
    return error


REFUSED = httpx2.ConnectError("[Errno 111] Connection refused")
UNAVAILABLE = "The provider did not answer properly"
UNREACHABLE = f"The provider at {URL} cannot be reached"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            silence(REFUSED, ConnectionRefusedError()),
            errors.ProviderUnreachable,
            f"{UNREACHABLE}: [Errno 111] Connection refused. Check OPENAI_BASE_URL.",
        ),
        (
            silence(httpx2.ConnectError("Name or service not known"), socket.gaierror(socket.EAI_NONAME, "")),
            errors.ProviderUnreachable,
            f"{UNREACHABLE}: Name or service not known. Check OPENAI_BASE_URL.",
        ),
        (
            silence(httpx2.ConnectError("certificate verify failed"), ssl.SSLCertVerificationError()),
            errors.ProviderUnreachable,
            f"{UNREACHABLE}: certificate verify failed. Check OPENAI_BASE_URL.",
        ),
        (
            silence(httpx2.UnsupportedProtocol("Request URL is missing a protocol.")),
            errors.ProviderUnreachable,
            f"{UNREACHABLE}: Request URL is missing a protocol. Check OPENAI_BASE_URL.",
        ),
        (
            silence(httpx2.ConnectError("Try again"), socket.gaierror(socket.EAI_AGAIN, "")),
            errors.ProviderUnavailable,
            f"{UNAVAILABLE}: Try again.",
        ),
        (
            silence(httpx2.ConnectError("Connection reset by peer"), ConnectionResetError()),
            errors.ProviderUnavailable,
            f"{UNAVAILABLE}: Connection reset by peer.",
        ),
        (
            silence(httpx2.ConnectError("EOF occurred in violation of protocol"), ssl.SSLEOFError()),
            errors.ProviderUnavailable,
            f"{UNAVAILABLE}: EOF occurred in violation of protocol.",
        ),
        (
            silence(httpx2.RemoteProtocolError("Server disconnected without sending a response.")),
            errors.ProviderUnavailable,
            f"{UNAVAILABLE}: Server disconnected without sending a response.",
        ),
        (silence(httpx2.ReadError("")), errors.ProviderUnavailable, f"{UNAVAILABLE}: ReadError."),
        (
            silence(httpx2.ReadTimeout("timed out"), timeout=True),
            errors.ProviderUnavailable,
            f"{UNAVAILABLE}: no answer in time (ReadTimeout).",
        ),
        (
            silence(httpx2.ConnectTimeout("timed out"), timeout=True),
            errors.ProviderUnavailable,
            f"{UNAVAILABLE}: no answer in time (ConnectTimeout).",
        ),
    ],
)
def test_silence_is_the_address_or_the_moment(
    error: openai.APIConnectionError, kind: type[errors.ReembedError], message: str
) -> None:
    fault = faults.of_silence(error, URL)
    assert type(fault) is kind
    assert str(fault) == message


@pytest.mark.parametrize(
    ("answer", "codes", "message"),
    [
        pytest.param(
            {"error": {"message": "m", "type": "t", "param": None, "code": "c"}}, {"t", "c"}, "m", id="OpenAI"
        ),
        pytest.param(
            {"object": "error", "message": "m", "type": "t", "code": 400}, {"t", "400"}, "m", id="vLLM"
        ),
        pytest.param({"error": "m"}, set(), "m", id="Ollama"),
        pytest.param({"detail": "m"}, set(), "m", id="FastAPI"),
        pytest.param(
            {"detail": [{"loc": ["body", "input"], "msg": "m", "input": ["a text"]}, {"msg": "n"}, 3]},
            set(),
            "body.input: m; n",
            id="FastAPI, a list",
        ),
        pytest.param(
            {"message": {"detail": [{"loc": ["body"], "msg": "m"}]}}, set(), "body: m", id="Mistral"
        ),
        pytest.param({"detail": [{"loc": 3, "msg": "m"}]}, set(), "m", id="a place that is none"),
        pytest.param([{"error": {"code": 400, "message": "m"}}], {"400"}, "m", id="Google"),
        pytest.param({"error": None}, set(), "", id="nothing"),
        pytest.param([], set(), "", id="an empty list"),
        pytest.param(3, set(), "", id="a number"),
    ],
)
def test_every_servers_way_to_report_an_error_is_understood(
    answer: Any, codes: set[str], message: str
) -> None:
    assert words.read(json.dumps(answer).encode()) == words.Said(frozenset(codes), message)


LONG = "It was a bright cold day in April, and the clocks were striking thirteen. Winston Smith slipped in"


@pytest.mark.parametrize(
    ("message", "texts", "shown"),
    [
        pytest.param("Too long.", [], "Too long", id="without a full stop"),
        pytest.param("Too\n  long", [], "Too long", id="on one line"),
        pytest.param(f"key {KEY} is bad", [], "key [key] is bad", id="the key"),
        pytest.param("key sk-abc***********xyz is bad", [], "key [key] is bad", id="a masked key"),
        pytest.param("key my****ey is bad", [], "key [key] is bad", id="a masked key of another kind"),
        pytest.param(
            "Authorization: Bearer abc.def is bad", [], "Authorization: Bearer [key] is bad", id="a header"
        ),
        pytest.param(f"bad: {LONG}", [LONG], "bad: [text]", id="a whole text"),
        pytest.param(
            f"bad: {LONG[:40]}... at 3", [LONG], "bad: [text]... at 3", id="the beginning of a text"
        ),
        pytest.param(f"bad: {LONG[30:]}!", ["x", LONG], "bad: [text]!", id="the end of another"),
        pytest.param(f"{LONG}; {LONG}", [LONG], "[text]; [text]", id="a text twice"),
        pytest.param(f"bad: {LONG}", [LONG.replace(" ", "\n ")], "bad: [text]", id="with other white space"),
        pytest.param(
            r"bad: 'one line of it\nnext\tline'",
            ["one line of it\nnext\tline"],
            "bad: '[text]'",
            id="as a literal",
        ),
        pytest.param(
            "bad: 'tiny' is tiny", ["tiny"], "bad: [text] is tiny", id="a short text in quotation marks"
        ),
        pytest.param("the model's 'tiny'", ["tiny"], "the model's [text]", id="after an apostrophe"),
        pytest.param("bad: ''", [""], "bad: ''", id="an empty text"),
        pytest.param("bad: 'size' of tiny", ["tiny"], "bad: 'size' of tiny", id="a word that is a text"),
        pytest.param(
            "the text is too long", ["the text is"], "the text is too long", id="a phrase is no quotation"
        ),
        pytest.param("e" * 400, [], "e" * 299 + "…", id="bounded"),
        pytest.param("x" * 290 + KEY, [], "x" * 290 + "[key]", id="the key goes before the end does"),
    ],
)
def test_words_are_shown_without_key_and_texts(message: str, texts: Sequence[str], shown: str) -> None:
    assert words.presentable(message, KEY, texts) == shown


def test_a_key_that_is_no_secret_is_a_word_like_others() -> None:
    assert words.presentable("none of these", "none", []) == "none of these"


def test_what_was_asked_is_not_shown() -> None:
    assert repr(ASKED) == "Asked(base_url='http://provider/v1', model='small')"
