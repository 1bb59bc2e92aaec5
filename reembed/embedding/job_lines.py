"""The lines of a job's files: what is sent to the provider's Batch API, and what it answers. No I/O.

A line is one text, named by its digest. So an answer says itself what it is the vector of, in whatever order answers
come, and whatever became of the documents meanwhile.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from reembed import errors, settings
from reembed.embedding import faults, wire

# What an answer has beside its vector: names, usage, status. 300 to 450 bytes were seen
_FRAME_BYTES = 600
# As base64; a server that knows no base64 sends numbers, three times as long
_BYTES_PER_DIMENSION = 16 / 3


def name(text: str) -> str:
    """What a text is called in a job: 32 hexadecimal digits, and a provider takes 64 characters."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def encode(text: str, model: str, dimensions: int | None) -> bytes:
    """The line that asks for one text. Raises errors.RequestRefused as wire.encode does."""
    body = wire.encode([text], model, dimensions)
    asked = {
        "custom_id": name(text),
        "method": "POST",
        "url": "/v1/embeddings",
        "body": orjson.Fragment(body),
    }
    return orjson.dumps(asked, option=orjson.OPT_APPEND_NEWLINE)


def answer_bytes(dimensions: int) -> int:
    """About how long the line of an answer is."""
    return int(dimensions * _BYTES_PER_DIMENSION) + _FRAME_BYTES


@dataclass(frozen=True)
class Answer:
    """One line of what came back."""

    name: str
    status: int
    """As of an HTTP answer; 0: it was not asked for in time."""
    body: Any
    tokens: int
    """Billed, as the provider reports them; 0 where it reports none."""


def decode(line: bytes) -> Answer | None:
    """What a line says; None for one that makes no sense, which answers nothing."""
    try:
        said = orjson.loads(line)
        response = said.get("response") or {"status_code": 0, "body": {"error": said.get("error")}}
        body = response["body"]
        usage = body.get("usage") or {} if isinstance(body, dict) else {}
        tokens = int(usage.get("prompt_tokens") or 0)
        return Answer(str(said["custom_id"]), int(response["status_code"]), body, tokens)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def vector(answer: Answer, model: settings.Model, asked: faults.Asked) -> wire.Embedded:
    """The vector of one text, (1, dimensions).

    Raises as a request for this text alone would: errors.Transient where it may be asked for again,
    errors.RequestRefused where it is to blame, errors.Broken where it cannot be.
    """
    if answer.status == 0:
        raise errors.Transient(reason="the job ended before this text's turn came")
    if answer.status != 200:
        raise faults.of_answer(answer.status, {}, orjson.dumps(answer.body), asked)
    return wire.read(answer.body, 1, model)
