"""validate: judge a migration again."""

from datetime import UTC, datetime
from pathlib import Path

import click

from config.settings import Settings
from orchestrator.command import amounts, session
from orchestrator.report import page
from orchestrator.report.page import Heading, Texts
from orchestrator.validation import asked, judge, sentences
from orchestrator.validation.asked import Query
from orchestrator.validation.verdict import Verdict
from reembed import errors
from reembed.database import documents
from reembed.database.connection import Connection
from reembed.database.ledger import Migration


class CannotWrite(errors.Usage):
    """The page cannot be written to {path}: {reason}.

    Nothing was judged; name another file with --html.
    """


class WasNotWritten(errors.Usage):
    """The page cannot be written to {path}: {reason}. The judgement is stored: `reembed history` has it."""


@click.command()
@click.option("--sample", type=amounts.Whole(1), help="Documents to judge by; VALIDATION_SAMPLE.")
@click.option(
    "--queries",
    type=click.Path(exists=True, dir_okay=False),
    help="Real queries, one a line or JSONL with `text`.",
)
@click.option(
    "--qrels",
    type=click.Path(exists=True, dir_okay=False),
    help="Judgements of these queries: TREC's four columns, or query and document of a click.",
)
@click.option(
    "--threshold", type=amounts.Number(), help="A similarity that your application asks of its results."
)
@click.option("--html", type=click.Path(dir_okay=False), help="Write a page to pass round.")
@click.option("--with-text", is_flag=True, help="With texts of queries and documents in that page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def validate(
    sample: int | None,
    queries: str | None,
    qrels: str | None,
    threshold: float | None,
    html: str | None,
    with_text: bool,
    as_json: bool,
) -> None:
    """Judge the new vectors against the old ones again. Exit code 1 if they do not pass."""
    if qrels and not queries:
        raise click.UsageError("--qrels judges the queries of --queries FILE, which is missing")
    if with_text and not html:
        raise click.UsageError("--with-text is for --html FILE, which is missing")
    if html:
        _try(Path(html))
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        if sample is not None:
            settings = settings.model_copy(update={"validation_sample": sample})
        found = asked.read(database, settings, queries)
        judged = judge.judgements_of(found, queries, qrels) if queries and qrels else None
        verdict = judge.again(
            database, settings, migration, found, judged, threshold, insist=queries is not None
        )
        texts = _texts(database, migration, verdict, found) if with_text else None
    if html:
        _write(html, page.render(verdict.as_json(), _heading(migration, settings), texts))
    if as_json:
        session.print_json(verdict.as_json())
    else:
        click.echo("\n".join(sentences.lines(verdict)))
    if not verdict.passed:
        raise SystemExit(1)


def _heading(migration: Migration, settings: Settings) -> Heading:
    old = migration.old_model or settings.old_model(migration.old_dimensions)
    return Heading(
        migration=migration.id,
        table=str(migration.table),
        old_model=str(old or f"an unnamed model ({migration.old_dimensions})"),
        new_model=str(migration.new_model),
        judged_at=datetime.now(UTC),
    )


def _texts(database: Connection, migration: Migration, verdict: Verdict, queries: list[Query]) -> Texts:
    """Of the queries that need a look, and of what both sides found for them."""
    shown = [entry for entry in verdict.as_json()["low_overlap"] if "old" in entry]
    ids = {key for entry in shown for key in (*entry["old"], *entry["new"])}
    if verdict.mode == "documents":
        ids |= {entry["id"] for entry in shown}
    found = documents.texts(database, migration, sorted(ids))
    return Texts(queries=dict(queries) if verdict.mode == "queries" else found, documents=found)


def _try(path: Path) -> None:
    """That it can be written, before a judgement that takes its time; it stays as it was. Raises CannotWrite."""
    existed = path.exists()
    try:
        path.open("a").close()
    except OSError as error:
        raise CannotWrite(path=path, reason=_reason(error)) from None
    if not existed:
        path.unlink()


def _write(path: str, content: str) -> None:
    """Raises WasNotWritten."""
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise WasNotWritten(path=path, reason=_reason(error)) from None


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
