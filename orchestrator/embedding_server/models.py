"""The models this server can serve, what each gives for a text, and what a text costs in tokens.

Importable without the server: a test computes the expected vectors in its own process with `embed`.
"""

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.embedding_server import lexical, wordllama_model

Vectors = NDArray[np.float32]

# Word pieces of up to six letters, digits by three, other visible ASCII one by one, the rest by bytes.
# On average 1.0 to 1.4 times what cl100k counts: good enough for a limit, and it needs no vocabulary
TOKEN = re.compile(rb"[A-Za-z]{1,6}|[0-9]{1,3}|[!-/:-@\[-`{-~]|[\x80-\xff]")


@dataclass(frozen=True)
class Model:
    name: str
    dimensions: int
    """What a request gets that names no dimensions."""
    widths: Container[int]
    """What a request may name."""
    raw_vectors: Callable[[Sequence[str], int], NDArray[np.floating]]
    """(texts, dimensions) to one row per text, of any length."""


# pgvector stores up to 16,000 dimensions, so a lexical model can fill any column there is
ANY_WIDTH = range(1, 16_001)

_models = [
    Model("lexical-words", 768, ANY_WIDTH, lexical.WORDS.embed),
    Model("lexical-ngrams", 768, ANY_WIDTH, lexical.NGRAMS.embed),
]
if wordllama_model.installed():
    _models.append(
        Model("wordllama-256", wordllama_model.DIMENSIONS, wordllama_model.WIDTHS, wordllama_model.embed)
    )

SERVED = {model.name: model for model in _models}


def embed(model_name: str, texts: Sequence[str], dimensions: int | None = None) -> Vectors:
    """What a model gives for texts: unit vectors, float32, shape (len(texts), dimensions).

    The same text gives the same vector in every process. Raises KeyError for a model that is not served.
    """
    model = SERVED[model_name]
    vectors = np.asarray(model.raw_vectors(texts, dimensions or model.dimensions), dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    # Features can cancel exactly, above all in one dimension: any direction is then as good as another
    vectors[lengths[:, 0] == 0.0, 0] = 1.0
    lengths[lengths == 0.0] = 1.0
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit


def count_tokens(text: str) -> int:
    """An estimate, at least 1."""
    return max(1, len(TOKEN.findall(text.encode("utf-8", "surrogatepass"))))
