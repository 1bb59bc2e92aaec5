"""Exact token counts, where the tokenizer of the model is installed: the extra `tokenizer`, offline.

`rs_bpe` holds the vocabulary in its wheel. It agrees with tiktoken, which downloads it, to the token.
"""

import functools
import importlib.util
from collections.abc import Callable

# OpenAI's embedding models, all of them
_CL100K = {"text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"}


def counter(model: str) -> Callable[[str], int] | None:
    """Counts the tokens of a text as the model does; None where its tokenizer is unknown or not installed.

    The function raises UnicodeEncodeError for a text that is not valid Unicode.
    """
    if model not in _CL100K or importlib.util.find_spec("rs_bpe") is None:
        return None
    return _cl100k()


@functools.cache
def _cl100k() -> Callable[[str], int]:
    from rs_bpe import openai

    count: Callable[[str], int] = openai.cl100k_base().count
    return count
