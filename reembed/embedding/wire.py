"""The wire: what an embeddings request and its answer look like as bytes. No I/O.

Vectors travel as base64 of little-endian float32 and become one matrix without a Python float in between. That
and a parser in native code take a quarter of the CPU that the openai package's response objects take.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pydantic
from numpy.typing import NDArray

from reembed import errors, settings
from reembed.embedding import announced

_FLOAT = np.dtype("<f4")
# pydantic's decoder takes 2 µs for 768 dimensions, the standard library's 9: a third of what an answer costs
_BASE64: pydantic.TypeAdapter[bytes] = pydantic.TypeAdapter(
    bytes, config=pydantic.ConfigDict(val_json_bytes="base64")
)


@dataclass(frozen=True)
class Embedded:
    """What one request gave."""

    vectors: NDArray[np.float32]
    """(texts, dimensions), in the order of the texts; finite, none of them zero."""
    tokens: int
    """Billed, as the provider reports them; 0 where it reports none."""
    limits: announced.Limits = announced.NOTHING
    """As the answer's headers announce them."""


def encode(texts: Sequence[str], model: str, dimensions: int | None) -> bytes:
    """The body of a request; `dimensions` is left out where it is None.

    Raises errors.RequestRefused for a text that is not valid Unicode and cannot be sent.
    """
    request: dict[str, object] = {"model": model, "input": texts, "encoding_format": "base64"}
    if dimensions is not None:
        request["dimensions"] = dimensions
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError:
        raise errors.RequestRefused(
            reason="a text has half a surrogate pair, which UTF-8 cannot hold"
        ) from None


def decode(body: bytes, texts: int, model: settings.Model) -> Embedded:
    """The vectors in the answer to a request of so many texts.

    Raises errors.ProviderUnavailable for half a body, and what `read` raises.
    """
    return read(_parse(body), texts, model)


def read(answer: Any, texts: int, model: settings.Model) -> Embedded:
    """The vectors in an answer that was parsed already.

    Raises errors.ProviderAnsweredWrongly for an answer that no text explains, and errors.RequestRefused for a zero
    vector: a model may know no word of one text, cosine has no use for its vector, and the others are sound.
    """
    try:
        rows = _in_order(answer["data"], texts)
        vectors = np.frombuffer(bytearray().join([_row(row, model.dimensions) for row in rows]), _FLOAT)
        tokens = int((answer.get("usage") or {}).get("prompt_tokens") or 0)
    except _Unusable as error:
        raise errors.ProviderAnsweredWrongly(model=model, reason=error) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise errors.ProviderAnsweredWrongly(model=model, reason="it is not a list of embeddings") from None
    vectors = vectors.reshape(texts, model.dimensions).astype(np.float32, copy=False)
    _check(vectors, model)
    return Embedded(vectors, tokens)


class _Unusable(Exception):
    """What is wrong with an answer, in words."""


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)  # takes the NaN that some servers write, so that it is called by its name
    except ValueError:
        raise errors.ProviderUnavailable(
            reason=f"its answer of {len(body)} bytes is no complete JSON"
        ) from None


def _in_order(data: Any, texts: int) -> list[Any]:
    """The embeddings by their `index`; by position where a server gives none."""
    if len(data) != texts:
        raise _Unusable(f"{len(data)} vectors for {texts} texts")
    rows: list[Any] = [None] * texts
    for position, item in enumerate(data):
        rows[item.get("index", position)] = item["embedding"]
    if any(row is None for row in rows):
        raise _Unusable("a text has no vector, or two")
    return rows


def _row(embedding: Any, dimensions: int) -> bytes:
    """One vector as little-endian float32; a server that knows no base64 sends numbers."""
    if isinstance(embedding, str):
        row = _BASE64.validate_strings(embedding)
    else:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is reported as that
            row = np.array(embedding, _FLOAT).tobytes()
    width = len(row) / _FLOAT.itemsize
    if width != dimensions:
        raise _Unusable(f"a vector has {width:g} dimensions, not {dimensions}")
    return row


def _check(vectors: NDArray[np.float32], model: settings.Model) -> None:
    if not np.isfinite(vectors).all():
        raise errors.ProviderAnsweredWrongly(model=model, reason="a vector has NaN or infinite values")
    if not vectors.any(axis=1).all():
        raise errors.RequestRefused(reason="the model answers a text with a zero vector")
