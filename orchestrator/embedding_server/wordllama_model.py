"""A trained model of 256 dimensions whose weights come in a wheel: `wordllama`, 19 MB, numpy only.

Served where the wheel is installed; without it the server has one model less.
"""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from wordllama.inference import WordLlamaInference

DIMENSIONS = 256
# Trained so that the first 64 or 128 numbers are a smaller model (Matryoshka); a cut anywhere else is not
WIDTHS = (64, 128, 256)


def installed() -> bool:
    return importlib.util.find_spec("wordllama") is not None


def embed(texts: Sequence[str], dimensions: int) -> NDArray[np.float32]:
    """One row per text, shape (len(texts), dimensions), not yet of unit length."""
    vectors: NDArray[np.float32] = _loaded().embed(list(texts))
    return vectors[:, :dimensions]


@cache
def _loaded() -> "WordLlamaInference":
    """The weights, loaded at the first use: the import alone takes most of a second.

    They and the tokenizer lie in the wheel; without these two arguments wordllama looks on the network.
    """
    import wordllama

    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
