"""A request body, checked as OpenAI checks it: the shape first, then the model, then the limits."""

import json
from dataclasses import dataclass
from typing import Any

from orchestrator.embedding_server import models, refusals

MAX_INPUTS = 2_048
MAX_TOKENS_PER_REQUEST = 300_000
MAX_TOKENS_PER_INPUT = 8_192


@dataclass(frozen=True)
class EmbeddingRequest:
    model: str
    texts: list[str]
    dimensions: int
    base64: bool
    tokens: int
    """Of all texts together."""


def parse_json(body: bytes) -> dict[str, Any]:
    """Raises Refusal for anything but a JSON object."""
    try:
        parsed = json.loads(body)
    except ValueError:
        raise refusals.unreadable_json() from None
    if not isinstance(parsed, dict):
        raise refusals.unreadable_json()
    return parsed


def parse(body: bytes) -> EmbeddingRequest:
    """Raises Refusal for what OpenAI would not embed either."""
    return check(parse_json(body))


def check(parsed: dict[str, Any]) -> EmbeddingRequest:
    """Raises Refusal as `parse` does."""
    name = parsed.get("model")
    if not isinstance(name, str):
        raise refusals.invalid_parameter("model", name, "Expected a string.")
    if name not in models.SERVED:
        raise refusals.unknown_model(name)
    texts = _texts(parsed.get("input"))
    return EmbeddingRequest(
        model=name,
        texts=texts,
        dimensions=_dimensions(models.SERVED[name], parsed.get("dimensions")),
        base64=_is_base64(parsed.get("encoding_format")),
        tokens=_count_tokens(texts),
    )


def _texts(given: object) -> list[str]:
    """Token arrays, which OpenAI takes too, are refused: nobody here sends them."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_INPUTS:
        raise refusals.invalid_input()
    if not all(isinstance(text, str) and text for text in texts):
        raise refusals.invalid_input()
    return texts


def _dimensions(model: models.Model, given: object) -> int:
    if given is None:
        return model.dimensions
    # `true` is an int to Python
    if not isinstance(given, int) or isinstance(given, bool) or given not in model.widths:
        raise refusals.invalid_parameter("dimensions", given, f"{model.name} supports {model.widths}.")
    return given


def _is_base64(given: object) -> bool:
    if given not in (None, "float", "base64"):
        raise refusals.invalid_parameter("encoding_format", given, "Must be 'float' or 'base64'.")
    return given == "base64"


def _count_tokens(texts: list[str]) -> int:
    counts = [models.count_tokens(text) for text in texts]
    if max(counts) > MAX_TOKENS_PER_INPUT:
        raise refusals.too_long(max(counts), MAX_TOKENS_PER_INPUT)
    if sum(counts) > MAX_TOKENS_PER_REQUEST:
        raise refusals.too_many_tokens(sum(counts), MAX_TOKENS_PER_REQUEST)
    return sum(counts)
