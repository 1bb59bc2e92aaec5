"""Lexical models: vectors from hashed features, with no weights and so nothing to download.

A model is a rule that names the features of a word. From there on both models do the same:

1. A feature is hashed to HASHES_PER_FEATURE places in the vector, each with a sign of its own (blake2b, so
   that every process, machine and Python version agrees). The signs make collisions cancel on average.
2. A word adds its features, scaled so that a word of many features weighs as much as a word of one.
3. A text adds its words. A word that occurs n times counts 1 + log(n); a stop word a tenth of that.

Texts that share words (or parts of words) are close, which is enough for search results that make sense.
It is no match for a trained model: a synonym is as far away as any other word.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"[^\W_]+")
"""Letters and digits; an underscore separates, so that `max_retries` meets "retries"."""

HASHES_PER_FEATURE = 4
STOP_WORD_WEIGHT = 0.1
CACHED_WORDS = 100_000
"""A word costs about 0.2 kB with its features, 1 kB as n-grams."""

# fmt: off
STOP_WORDS = frozenset((
    "a", "also", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "do", "does", "for",
    "from", "has", "have", "if", "in", "into", "is", "it", "its", "may", "no", "not", "of", "on", "or",
    "such", "than", "that", "the", "their", "then", "there", "these", "they", "this", "to", "use", "used",
    "was", "when", "which", "will", "with", "you", "your",
))
# fmt: on


def words(text: str) -> list[str]:
    """The words of a text, in lower case; the bare text where it has none, so that no vector is zero."""
    return WORD.findall(text.lower()) or [text]


def whole_word(word: str) -> list[str]:
    """The features of `lexical-words`."""
    return [word]


def ngrams(word: str) -> list[str]:
    """The features of `lexical-ngrams`: every 3 and 4 characters of the marked word, and the word itself.

    "cat" gives ^ca, cat, at$, ^cat, cat$ and ^cat$. Inflections and misspellings stay close.
    """
    marked = f"^{word}$"
    return [marked] + [marked[start : start + n] for n in (3, 4) for start in range(len(marked) - n + 1)]


class LexicalModel:
    """Turns texts into vectors of any width, by the features that `features_of` finds in each word."""

    def __init__(self, features_of: Callable[[str], list[str]]) -> None:
        self._features_of = features_of
        # Of the width of the vectors nothing is kept: one cache serves every number of dimensions
        self._hashes = lru_cache(maxsize=CACHED_WORDS)(self._hash_word)

    def embed(self, texts: Sequence[str], dimensions: int) -> NDArray[np.float64]:
        """One row per text, shape (len(texts), dimensions), not yet of unit length."""
        rows = np.empty((len(texts), dimensions))
        for row, text in zip(rows, texts, strict=True):
            self._fill(row, text)
        return rows

    def _fill(self, row: NDArray[np.float64], text: str) -> None:
        counts = Counter(words(text))
        hashes = [self._hashes(word) for word in counts]
        sizes = [len(hashes_of_word) for hashes_of_word in hashes]
        weights = [
            _weight(word, count) / math.sqrt(size)
            for (word, count), size in zip(counts.items(), sizes, strict=True)
        ]
        all_hashes = np.concatenate(hashes)
        # The lowest bit is the sign, the other 31 are the place
        signs = 1.0 - 2.0 * (all_hashes & 1)
        places = (all_hashes >> 1) % len(row)
        row[:] = np.bincount(places, signs * np.repeat(weights, sizes), minlength=len(row))

    def _hash_word(self, word: str) -> NDArray[np.uint32]:
        # A lone surrogate is no text, but JSON can carry one
        features = [feature.encode("utf-8", "surrogatepass") for feature in self._features_of(word)]
        digests = [hashlib.blake2b(name, digest_size=4 * HASHES_PER_FEATURE).digest() for name in features]
        return np.frombuffer(b"".join(digests), dtype="<u4")


def _weight(word: str, count: int) -> float:
    return (1.0 + math.log(count)) * (STOP_WORD_WEIGHT if word in STOP_WORDS else 1.0)


WORDS = LexicalModel(whole_word)
NGRAMS = LexicalModel(ngrams)
