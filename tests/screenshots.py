"""Pictures of the report for docs/, of a real migration: docstrings, whose first lines ask for the rest of them.

make screenshots
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import click
import psycopg

from orchestrator.demo import corpus, loading
from orchestrator.embedded import stack as embedded
from orchestrator.embedding_server import models
from tests.installation import Installation

_DOCUMENTS, _QUERIES = 1_500, 150
_IMAGES = Path(__file__).parents[1] / "docs" / "images"
# Name, width, height, colour scheme; 0 is dark for Chromium
_VIEWS = (
    ("report-desktop", 1_280, 1_500, 1),
    ("report-desktop-dark", 1_280, 1_500, 0),
    ("report-phone", 390, 1_400, 1),
)
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium takes the pictures, and is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.html"
        with embedded.running() as stack:
            _judge(stack, Path(directory), report)
        _IMAGES.mkdir(exist_ok=True)
        for name, width, height, scheme in _VIEWS:
            subprocess.run(
                [
                    chromium, *_OPTIONS, f"--user-data-dir={directory}/{name}", f"--window-size={width},{height}",
                    f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={_IMAGES / name}.png",
                    report.as_uri(),
                ],
                check=True,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            click.echo(_IMAGES / f"{name}.png")


def _judge(stack: embedded.Stack, directory: Path, report: Path) -> None:
    """A migration from counted words to a trained model, judged by queries, with texts."""
    stack.postgres.create_database("report")
    old, dimensions = "lexical-words", 384
    made = Installation(
        stack,
        "report",
        0,
        directory,
        {
            "OLD_EMBED_MODEL": old,
            "OLD_EMBED_DIMENSIONS": str(dimensions),
            "EMBED_MODEL": "wordllama-256",
            "EMBED_DIMENSIONS": "256",
            "VALIDATION_SLICE_COLUMN": "package",
        },
    )
    pairs = _pairs()
    with psycopg.connect(made.url, autocommit=True) as database:
        # The name of what is described, and the description without its first line
        loading.load(
            database,
            [corpus.Document(name, rest) for name, _, rest in pairs],
            lambda texts: models.embed(old, texts, dimensions),
        )
        database.execute("ALTER TABLE documents ADD package text")
        database.execute("UPDATE documents SET package = split_part(content, '.', 1)")
        keys = [row[0] for row in database.execute("SELECT id FROM documents ORDER BY id")]
    (directory / "queries").write_text("\n".join(first for _, first, _ in pairs[:_QUERIES]))
    (directory / "qrels").write_text(
        "".join(f"{number} 0 {key} 1\n" for number, key in enumerate(keys[:_QUERIES], start=1))
    )
    with made.processes():
        _run(made, "start", "--wait")
        judged = ("--queries", str(directory / "queries"), "--qrels", str(directory / "qrels"))
        _run(made, "validate", *judged, "--threshold", "0.8", "--html", str(report), "--with-text")


def _pairs() -> list[tuple[str, str, str]]:
    """Name, first line and rest of docstrings that have both."""
    found: list[tuple[str, str, str]] = []
    for document in corpus.documents():
        first, _, rest = document.text.partition("\n")
        if len(first) > 30 and len(rest) > 200:
            found.append((document.name, first.strip(), rest.strip()))
        if len(found) == _DOCUMENTS:
            break
    return found


def _run(made: Installation, *words: str) -> None:
    answer = made.reembed(*words)
    if answer.code:
        raise SystemExit(f"reembed {words[0]} ended with {answer.code}: {answer.out}{answer.err}")


if __name__ == "__main__":
    main()
