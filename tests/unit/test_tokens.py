"""The estimate against cl100k's own count, and truncation at a limit."""

import random

import pytest

from reembed.embedding import tokens

_ALPHABET = "aZ7 .\n\té数🚀"


@pytest.mark.parametrize(
    ("text", "estimate", "cl100k"),
    [
        ("", 0, 0),
        ("a", 1, 1),
        ("The quick brown fox jumps over the lazy dog.", 10, 10),
        ("Reembedding", 2, 2),
        ("getElementById", 4, 2),
        ("HTTP ERROR", 5, 2),
        ("SELECT count(*) FROM documents WHERE id = 4711;", 20, 12),
        ("3.14159265", 5, 5),
        ("in 2024", 4, 4),
        ("line\nline\n\nline", 5, 5),
        ("550e8400-e29b-41d4-a716-446655440000", 20, 18),
        ("\x00\x01", 2, 2),
        ("über", 2, 1),
        ("Привет, мир", 12, 6),
        ("数据库迁移", 9, 4),
        ("データベース", 11, 6),
        # Where the estimate is too low
        ("acetylsalicylic", 3, 6),
        ("🚀🔥", 5, 6),
    ],
)
def test_the_estimate_is_known_against_the_true_count(text: str, estimate: int, cl100k: int) -> None:
    assert tokens.estimate(text) == estimate
    assert tokens.bound(text) >= estimate
    assert tokens.ceiling(text) >= max(estimate, cl100k)


@pytest.mark.parametrize(
    ("text", "limit", "truncated"),
    [
        pytest.param("one two", 7, "one two", id="its bytes fit"),
        pytest.param("one two", 2, "one two", id="its tokens fit"),
        pytest.param("one two three", 2, "one two ", id="cut after a word"),
        pytest.param("数据库迁移", 4, "数据", id="cut between characters"),
        pytest.param("🚀🚀", 1, "🚀", id="never empty: the first character is over the limit"),
        pytest.param("one", 0, "o", id="never empty: no limit is too small"),
        pytest.param("\ud83d long enough", 2, "\ud83d ", id="half a surrogate pair is no reason to fail"),
        pytest.param("", 0, "", id="an empty text stays one"),
    ],
)
def test_a_text_is_truncated_to_a_limit(text: str, limit: int, truncated: str) -> None:
    assert tokens.truncate(text, limit) == truncated


def test_a_truncated_text_is_the_longest_beginning_within_the_limit() -> None:
    chance = random.Random(20)  # noqa: S311
    for _ in range(500):
        text = "".join(chance.choices(_ALPHABET, k=chance.randrange(1, 200)))
        limit = chance.randrange(3, 100)
        truncated = tokens.truncate(text, limit)
        assert text.startswith(truncated)
        assert tokens.estimate(truncated) <= limit
        if truncated != text:
            assert tokens.estimate(text[: len(truncated) + 1]) > limit


def test_the_bound_is_never_below_the_estimate() -> None:
    chance = random.Random(21)  # noqa: S311
    for _ in range(2_000):
        text = "".join(chance.choices("aaaZ7 .\n\t", k=chance.randrange(40)))
        assert tokens.bound(text) >= tokens.estimate(text), text


def test_the_bound_of_prose_is_near_enough_to_be_of_use() -> None:
    prose = "The quick brown fox jumps over the lazy dog. " * 18
    assert tokens.bound(prose) < 1.8 * tokens.estimate(prose)


def test_a_text_that_surely_fits_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tokens, "estimate")
    assert tokens.truncate("x" * 8192, 8192) == "x" * 8192


def test_the_parts_of_a_text_are_the_text_and_none_is_too_long() -> None:
    chance = random.Random(21)  # noqa: S311
    for _ in range(200):
        text = "".join(chance.choices(_ALPHABET, k=chance.randrange(1, 2_000)))
        limit = chance.randrange(3, 100)
        parts = tokens.split(text, limit)
        assert "".join(parts) == text
        assert all(parts)
        assert all(tokens.estimate(part) <= limit for part in parts)
    assert tokens.split("", 5) == []
