"""Pictures for docs/: Flower during a real migration, and the report of it.

Its documents are docstrings, whose first lines ask for the rest of them.

make screenshots
"""

import tempfile
from pathlib import Path

import click
import psycopg

from orchestrator.demo import corpus, loading
from orchestrator.embedded import stack as embedded
from orchestrator.embedding_server import models
from tests import browser, flower, waiting
from tests.installation import Installation

_DOCUMENTS, _QUERIES = 1_500, 150
_IMAGES = Path(__file__).parents[1] / "docs" / "images"
# Name, width, height, whether dark
_VIEWS = (
    ("report-desktop", 1_280, 1_500, False),
    ("report-desktop-dark", 1_280, 1_500, True),
    ("report-phone", 390, 1_400, False),
)


def main() -> None:
    if browser.PROGRAM is None:
        raise SystemExit(browser.MISSING)
    _IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.html"
        with embedded.running() as stack:
            _judge(stack, Path(directory), report)
        for name, width, height, dark in _VIEWS:
            _photograph(report.as_uri(), name, Path(directory), width, height, dark)


def _photograph(url: str, name: str, directory: Path, width: int, height: int, dark: bool = False) -> None:
    picture = _IMAGES / f"{name}.png"
    browser.photograph(url, picture, directory / name, width=width, height=height, dark=dark)
    click.echo(picture)


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
            # Slow enough to be watched
            "CHUNK_SIZE": "150",
            "EMBED_BATCH_SIZE": "10",
            "EMBED_CONCURRENCY": "1",
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
    with made.processes(workers=2), flower.beside(made) as watched:
        stack.provider.set_latency(300)
        _run(made, "start")
        waiting.until(
            lambda: len(watched.tasks("state=SUCCESS&taskname=reembed.embed_chunk")) > 1, seconds=60
        )
        _photograph(f"{watched.address}/tasks?name=reembed.embed_chunk", "flower", directory, 1_560, 760)
        stack.provider.set_latency(0)
        made.wait_for(lambda status: status["state"] in ("ready", "needs_review"))
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
