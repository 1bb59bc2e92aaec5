"""Exact counts, where the model's tokenizer is installed; without it the tests of the counts are skipped."""

import importlib.util
import sys
from types import ModuleType

import pytest

from reembed.embedding import exact, tokens

MODEL = "text-embedding-3-large"


def test_without_the_tokenizer_or_for_another_model_tokens_are_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert tokens.counter("lexical-words") is tokens.estimate
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert tokens.counter(MODEL) is tokens.estimate


def test_with_the_tokenizer_tokens_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer of our own under its name: a letter is a token, and half a surrogate pair no letter."""
    counting = ModuleType("rs_bpe")
    counting.openai = ModuleType("openai")  # type: ignore[attr-defined]
    counting.openai.cl100k_base = lambda: type(
        "Tokenizer", (), {"count": lambda self, text: len(text.encode())}
    )()
    monkeypatch.setitem(sys.modules, "rs_bpe", counting)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: counting)
    exact._cl100k.cache_clear()
    count = tokens.counter(MODEL)
    assert count("one two") == 7
    assert count("\ud83d") == tokens.estimate("\ud83d")
    assert tokens.truncate("one two", 5, count) == "one t"
    exact._cl100k.cache_clear()


@pytest.mark.skipif(
    importlib.util.find_spec("rs_bpe") is None, reason="the extra `tokenizer` is not installed"
)
@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("SELECT count(*) FROM documents WHERE id = 4711;", 12),
        ("数据库迁移", 4),
        ("acetylsalicylic", 6),
        ("🚀🔥", 6),
    ],
)
def test_the_counts_are_those_of_cl100k(text: str, count: int) -> None:
    assert tokens.counter(MODEL)(text) == count
