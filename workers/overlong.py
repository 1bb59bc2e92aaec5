"""Texts that are longer than the model takes: cut, averaged from parts, or refused without asking anybody."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import Overlong
from reembed.database.documents import TooLong
from reembed.embedding import tokens
from workers.ruler import Ruler

# How far from 1 the length of a vector may be that counts as a unit vector
_UNIT = 1e-3
REFUSAL = (
    "The text has {tokens} tokens, and EMBED_MAX_INPUT_TOKENS is {limit}. "
    "With EMBED_OVERLONG=truncate or mean, `reembed retry` embeds it."
)


@dataclass(frozen=True)
class Prepared:
    """One text, as it is sent."""

    parts: list[str]
    """Usually the text itself; empty where it is refused."""
    lengths: list[int]
    """Of the parts, in tokens."""
    bounded: bool = False
    """Nobody counted: the length is a number that it does not exceed."""
    too_long: TooLong | None = None
    """What was done to it, and how long it was; None where it fits."""
    refusal: str = ""


def prepare(text: str, ruler: Ruler, limit: int, how: Overlong, *, counted: bool = True) -> Prepared:
    """A text cut to parts of at most `limit` tokens, as `how` says. Unless `counted`, a bound does where it can."""
    if not counted and (most := tokens.bound(text)) <= limit:
        return Prepared([text], [most], bounded=True)
    length = ruler.count(text)
    if length <= limit:
        return Prepared([text], [length])
    if how == "fail":
        return Prepared([], [], refusal=REFUSAL.format(tokens=f"{length:,}", limit=f"{limit:,}"))
    if how == "mean":
        parts = tokens.split(text, limit, ruler.count)
        return Prepared(parts, [ruler.count(part) for part in parts], too_long=TooLong("averaged", length))
    beginning = tokens.truncate(text, limit, ruler.count)
    return Prepared([beginning], [ruler.count(beginning)], too_long=TooLong("truncated", length))


def mean(vectors: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
    """The mean of the parts' vectors, (parts, dimensions), by their lengths; of unit length where theirs are.

    The first part's where the parts cancel each other out, as no search has use for a zero vector.
    """
    averaged = np.average(vectors.astype(np.float64), axis=0, weights=lengths)
    norm = np.linalg.norm(averaged)
    if norm == 0.0:
        averaged = vectors[0]
    elif np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < _UNIT):
        averaged = averaged / norm
    return averaged.astype(np.float32)
