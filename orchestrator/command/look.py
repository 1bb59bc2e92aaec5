"""status, validate: look at a migration."""

import click

from orchestrator import progress
from orchestrator.command import session, waiting
from orchestrator.progress import Status
from orchestrator.validation import judge, sentences
from reembed.database import ledger


@click.command()
@click.option("--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(watch: bool, as_json: bool) -> None:
    """Show where the migration stands, and why it waits if it does."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)

        def look() -> Status:
            return progress.status(database, ledger.get(database, migration.id))

        if as_json:
            session.print_json(look().as_json())
        elif watch:
            waiting.for_ever(look)
        else:
            click.echo(_table(look()))


@click.command()
@click.option("--sample", type=click.IntRange(1), help="Documents to judge by; VALIDATION_SAMPLE.")
@click.option(
    "--queries",
    type=click.Path(exists=True, dir_okay=False),
    help="Real queries, one a line or JSONL with `text`.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def validate(sample: int | None, queries: str | None, as_json: bool) -> None:
    """Judge the new vectors against the old ones again. Exit code 1 if they do not pass."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        if sample is not None:
            settings = settings.model_copy(update={"validation_sample": sample})
        verdict = judge.again(database, settings, migration, queries)
    if as_json:
        session.print_json(verdict.as_json())
    else:
        click.echo("\n".join(sentences.lines(verdict)))
    if not verdict.passed:
        raise SystemExit(1)


COMMANDS = (status, validate)


def _table(status: Status) -> str:
    rate = f"{status.documents_per_second:,.0f} a second" if status.documents_per_second else "-"
    rows = [
        ("migration", f"{status.migration} of {status.table} to {status.model}"),
        ("state", status.state),
        (
            "documents",
            f"{status.documents:,}: {status.embedded:,} embedded, {status.pending:,} pending, "
            f"{status.failed:,} refused by the provider",
        ),
        ("chunks", ", ".join(f"{count:,} {state}" for state, count in status.chunks.items())),
        ("rate", rate),
        ("searches", f"read {status.active_column}"),
    ]
    if status.eta_seconds is not None:
        rows.append(("time left", progress.duration(status.eta_seconds)))
    if status.waiting_for:
        rows.append(("waiting for", status.waiting_for))
    return "\n".join(f"{name:<12}{value}" for name, value in rows)
