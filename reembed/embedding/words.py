"""A provider's own words, fit for a log and for reembed.failures: without the key, without documents, short.

Providers quote. A refusal may hold the text it refuses, whole or cut short, and most of an API key; neither
may reach a log, a status line or a table that other people read.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

# Characters. What a person reads, and what is looked at before anything is taken out of it
_LONGEST = 300
_LONGEST_READ = 600
# Characters. A shorter run of a document's text is a phrase that any sentence may share with it
_SHORTEST_QUOTE = 20
# Keys like "none" or "test" are no secret, and are words besides
_SHORTEST_KEY = 8

# Whatever looks like a key, also with its middle replaced by asterisks
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk)-[\w*-]{6,}|\b[\w-]{0,40}\*{3,}[\w*-]{0,40}|(?<=Bearer )[^\s\"']+")
# A text that is quoted as a literal of some language has these for its line breaks and tabs
_ESCAPED_SPACE = re.compile(r"\\[nrt]")


@dataclass(frozen=True)
class Said:
    """What a provider answered instead of vectors."""

    codes: frozenset[str] = frozenset()
    """Its `code` and its `type`, as far as it gives them."""
    message: str = ""
    """Its words as they came; empty where it gives none."""


def read(body: bytes) -> Said:
    """Understand how servers report errors: as OpenAI, vLLM, Ollama, FastAPI, Mistral or Google, or in plain text.

    A web page, which is what a proxy answers, says nothing.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace").strip()
        return Said(message="" if text.startswith("<") else text)
    if isinstance(answer, list) and answer:
        answer = answer[0]
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if not isinstance(error, dict):
        return Said(message=error if isinstance(error, str) else "")
    codes = frozenset(str(error[name]) for name in ("code", "type") if error.get(name))
    return Said(codes, _message(error.get("message") or error.get("detail")))


def _message(message: Any) -> str:
    """FastAPI sends a list of what is wrong where; the texts themselves, which it sends too, are left out."""
    if isinstance(message, dict):
        message = message.get("detail")
    if isinstance(message, list):
        return "; ".join(f"{_where(item)}{item.get('msg', '')}" for item in message if isinstance(item, dict))
    return str(message or "")


def _where(item: dict[str, Any]) -> str:
    path = item.get("loc")
    return ".".join(map(str, path)) + ": " if isinstance(path, list) else ""


def presentable(message: str, api_key: str, texts: Sequence[str]) -> str:
    """The message on one line of at most 300 characters, without a full stop, key or piece of these texts."""
    if len(api_key) >= _SHORTEST_KEY:
        message = message.replace(api_key, "[key]")
    message = " ".join(_ESCAPED_SPACE.sub(" ", message[:_LONGEST_READ]).split())
    message = _KEY_LIKE.sub("[key]", message)
    message = _without_long_quotes(_without_short_quotes(message, texts), texts)
    if len(message) > _LONGEST:
        message = message[: _LONGEST - 1] + "…"
    return message.rstrip(". ")


def _without_short_quotes(message: str, texts: Iterable[str]) -> str:
    """Take out the texts that stand whole between quotation marks."""
    for text in texts:
        if 0 < len(text) < _SHORTEST_QUOTE:
            for mark in "'\"`":
                message = message.replace(f"{mark}{' '.join(text.split())}{mark}", "[text]")
    return message


def _without_long_quotes(message: str, texts: Iterable[str]) -> str:
    """Take out every run of characters that is also in a text, if it begins with a word and is long enough.

    The cost is one search through the texts for each word of the message: 10 to 100 ms.
    """
    haystack = " ".join(" ".join(texts).split())
    kept: list[str] = []
    start = 0
    for word in re.finditer(r"\w+", message):
        begin = word.start()
        run = message[begin : begin + _SHORTEST_QUOTE]
        if begin < start or len(run) < _SHORTEST_QUOTE or (found := haystack.find(run)) < 0:
            continue
        kept += [message[start:begin], "[text]"]
        start = begin + len(run)
        quoted = haystack[found + len(run) : found + len(message)]
        while message[start : start + 1] and quoted.startswith(message[start]):
            start, quoted = start + 1, quoted[1:]
    return "".join([*kept, message[start:]])
