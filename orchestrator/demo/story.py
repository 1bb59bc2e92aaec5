"""The story that the demo tells: an old model dies half-way through its own replacement, and nobody notices.

Everything in it is real: a Postgres with pgvector, a Redis, an embedding server behind HTTP, Celery workers in their
own processes, and the `reembed` command as anyone would type it.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import click

from config.settings import Settings
from orchestrator import progress
from orchestrator.demo import corpus, loading
from orchestrator.embedded import stack as embedded
from orchestrator.embedded import workforce
from orchestrator.embedding_server import models
from reembed import errors
from reembed.database import connection, ledger, validations
from reembed.embedding.provider import Provider
from reembed.retrieval import Hit, Retriever

OLD_MODEL, OLD_DIMENSIONS = "lexical-words", 384
NEW_MODEL, NEW_DIMENSIONS = "wordllama-256", 256
# Where the wheel with the weights cannot be installed
OTHER_MODEL, OTHER_DIMENSIONS = "lexical-ngrams", 512

WORKERS = 2
QUESTION = "wait for several threads to finish their work"
_SHOWN = 3
_HALF_WAY_SECONDS = 120


class CommandFailed(errors.ReembedError):
    """The demo stopped: `reembed {command}` ended with exit code {code}."""


@dataclass(frozen=True)
class Outcome:
    documents: int
    migrated_seconds: float
    report: dict[str, Any]
    """Of the last judgement: see orchestrator/validation/verdict.py."""
    before: list[Hit]
    after: list[Hit]

    def lines(self) -> list[str]:
        def names(hits: list[Hit]) -> str:
            return ", ".join(hit.content.split("\n", 1)[0] for hit in hits)

        return [
            f"documents   {self.documents:,}: {self.report['missing']} missing, {self.report['stale']} stale, "
            f"{self.report['invalid_vectors']} invalid vectors",
            f"seconds     {self.migrated_seconds:.1f} from `start` to the judgement, with {WORKERS} workers",
            f"rate        {self.documents / self.migrated_seconds:,.0f} documents a second",
            f"overlap@10  {self.report['overlap_mean']:.2f}, {self.report['queries']} documents as queries",
            f"query       {QUESTION!r}",
            f"  before    {names(self.before)}",
            f"  after     {names(self.after)}",
        ]


def tell(documents: int) -> Outcome:
    """Run the whole migration on so many documents. Raises CommandFailed, and what the embedded stack raises."""
    _say("Postgres with pgvector, Redis and an embedding server are starting")
    with embedded.running() as stack:
        os.environ.update(set_up(stack))
        settings = Settings.load()
        with (
            connection.connect(settings.database, "demo") as database,
            Retriever(settings) as retriever,
            workforce.Workforce(os.environ, stack.directory) as workers,
        ):
            for _ in range(WORKERS):
                workers.start_worker(wait=False)
            workers.start_control(wait=False)
            workers.start_beat(wait=False)
            loaded = load(database, settings, documents)
            before = _search(database, retriever, f"with the old model, {OLD_MODEL}")
            workers.wait_until_ready()

            _command("plan")
            began = time.monotonic()
            _command("start")
            _wait_for_half(database)
            stack.provider.retire(OLD_MODEL)
            _say(f"Half-way, the provider retires {OLD_MODEL}. A search by it is answered:")
            _show_outage(database, retriever)
            _command("start", "--wait")
            seconds = time.monotonic() - began

            _command("validate")
            _command("switch")
            after = _search(database, retriever, f"with the new model, {settings.embed_model}")
            _command("rollback")
            _command("switch")
            _command("cleanup", "--yes")
            after = _search(database, retriever, "after cleanup") or after
            return Outcome(loaded, seconds, _report(database), before, after)


def set_up(stack: embedded.Stack) -> dict[str, str]:
    """Make an empty database; the environment of a migration in it."""
    stack.postgres.create_database("demo")
    model, dimensions = (
        (NEW_MODEL, NEW_DIMENSIONS) if NEW_MODEL in models.SERVED else (OTHER_MODEL, OTHER_DIMENSIONS)
    )
    return {
        **stack.environment("demo"),
        "EMBED_MODEL": model,
        "EMBED_DIMENSIONS": str(dimensions),
        "OLD_EMBED_MODEL": OLD_MODEL,
        "OLD_EMBED_DIMENSIONS": str(OLD_DIMENSIONS),
        "CATCH_UP_EVERY_SECONDS": "5",
    }


def load(database: connection.Connection, settings: Settings, documents: int) -> int:
    """The table before the migration. Returns the number of its documents."""
    _say(f"Loading {documents:,} docstrings of the installed Python packages, with vectors of {OLD_MODEL}")
    old = settings.old_model(OLD_DIMENSIONS)
    assert old is not None  # noqa: S101  set above
    with Provider(settings.old_endpoint, old) as provider:
        return loading.load(
            database,
            corpus.documents(documents),
            lambda texts: provider.embed_documents(texts).vectors,
        )


def _wait_for_half(database: connection.Connection) -> None:
    deadline = time.monotonic() + _HALF_WAY_SECONDS
    while time.monotonic() < deadline:
        status = progress.status(database, ledger.latest(database, "public", "documents"))
        if status.pending <= status.documents / 2:
            return
        time.sleep(0.02)


def _search(database: connection.Connection, retriever: Retriever, title: str) -> list[Hit]:
    _say(f"Searching {title}: {QUESTION!r}")
    hits = retriever.search(database, QUESTION, top_k=_SHOWN)
    for hit in hits:
        click.echo(f"  {hit.similarity:.3f}  {hit.content.split(chr(10), 1)[0]}")
    return hits


def _show_outage(database: connection.Connection, retriever: Retriever) -> None:
    try:
        retriever.search(database, QUESTION)
    except errors.ReembedError as error:
        click.echo(f"  {error}")


def _report(database: connection.Connection) -> dict[str, Any]:
    judged = validations.last(database, ledger.latest(database, "public", "documents").id)
    assert judged is not None  # noqa: S101  `start --wait` has waited for it
    report: dict[str, Any] = judged["report"]
    return report


def _command(*arguments: str) -> None:
    """As anyone would type it."""
    click.secho(f"\n$ reembed {' '.join(arguments)}", bold=True)
    code = subprocess.run([sys.executable, "-m", "reembed", *arguments], check=False).returncode  # noqa: S603
    if code:
        raise CommandFailed(command=" ".join(arguments), code=code)


def _say(sentence: str) -> None:
    click.secho(f"\n{sentence}", fg="cyan")
