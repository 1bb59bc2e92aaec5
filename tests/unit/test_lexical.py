"""The lexical models: the same everywhere, of unit length, and close where texts are related."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from orchestrator.embedding_server import models

CHECKOUT = Path(__file__).parents[2]
LEXICAL = ["lexical-words", "lexical-ngrams"]

OPEN_A_FILE = "Open a file for reading and return its contents."
READ_FILES = "Opens files, reads the contents of each file, returns them."
NIGHT_SKY = "The night sky over the desert is full of stars."


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "lexical-words",
            [-0.022206, 0.466321, -0.022206, 0.222058, 0.444116, 0.266469, 0.222058, -0.643968],
        ),
        (
            "lexical-ngrams",
            [0.539257, 0.496855, 0.067292, 0.295478, 0.233589, -0.244623, -0.482839, -0.15154],
        ),
    ],
)
def test_a_text_gives_the_vector_it_has_always_given(model: str, expected: list[float]) -> None:
    np.testing.assert_allclose(models.embed(model, [OPEN_A_FILE], 8)[0], expected, atol=1e-6)


@pytest.mark.parametrize("model", LEXICAL)
def test_another_process_with_another_hash_seed_gives_the_same_bytes(model: str) -> None:
    script = (
        "import sys; from orchestrator.embedding_server import models;"
        f"sys.stdout.buffer.write(models.embed({model!r}, [{READ_FILES!r}], 64).tobytes())"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", script],
        cwd=CHECKOUT,
        env={"PYTHONHASHSEED": "42"},
        capture_output=True,
        check=True,
    )
    assert elsewhere.stdout == models.embed(model, [READ_FILES], 64).tobytes()


@pytest.mark.parametrize("model", LEXICAL)
def test_a_vector_does_not_depend_on_the_texts_beside_it(model: str) -> None:
    together = models.embed(model, [NIGHT_SKY, OPEN_A_FILE, READ_FILES], 256)
    assert together[1].tobytes() == models.embed(model, [OPEN_A_FILE], 256)[0].tobytes()


@pytest.mark.parametrize("model", LEXICAL)
def test_related_texts_are_closer_than_unrelated_ones(model: str) -> None:
    one, related, unrelated = models.embed(model, [OPEN_A_FILE, READ_FILES, NIGHT_SKY])
    assert one @ related > 0.2
    assert abs(one @ unrelated) < 0.1


@pytest.mark.parametrize("model", LEXICAL)
def test_sharing_only_stop_words_brings_texts_hardly_together(model: str) -> None:
    vectors = models.embed(model, ["this is not the table", "this is not the weather"])
    shared_meaning = models.embed(model, ["create table", "the table is created"])
    assert vectors[0] @ vectors[1] < shared_meaning[0] @ shared_meaning[1]


@pytest.mark.parametrize("model", LEXICAL)
def test_a_word_said_ten_times_does_not_drown_the_others(model: str) -> None:
    repeated, once = models.embed(model, ["retry " * 10 + "database worker queue", "database worker queue"])
    assert repeated @ once > 0.35


def test_an_inflected_word_is_closer_by_its_ngrams_than_as_a_whole_word() -> None:
    texts = ["migration", "migrations"]
    whole = models.embed("lexical-words", texts)
    parts = models.embed("lexical-ngrams", texts)
    assert parts[0] @ parts[1] > 0.6 > whole[0] @ whole[1]


@pytest.mark.parametrize("model", LEXICAL)
@pytest.mark.parametrize("dimensions", [1, 2, 3, 768, 3072, 16_000])
def test_vectors_of_any_width_have_unit_length(model: str, dimensions: int) -> None:
    texts = [OPEN_A_FILE, "word", "the", "  ", "?!", "日本語", "\ud800", "a b c d"]
    vectors = models.embed(model, texts, dimensions)
    assert vectors.shape == (len(texts), dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("word", 1),
        ("embedding", 2),
        ("2026", 2),
        ("a, b.", 4),
        ("é", 2),
        ("   ", 1),
    ],
)
def test_tokens_are_estimated_by_word_pieces_digits_and_bytes(text: str, tokens: int) -> None:
    assert models.count_tokens(text) == tokens
