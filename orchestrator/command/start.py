"""start: begin a migration, and watch it until it has been judged."""

import click

from orchestrator import progress
from orchestrator import start as starting
from orchestrator.command import session, waiting
from orchestrator.progress import Status
from reembed import errors
from reembed.database import ledger


class Stopped(errors.ReembedError):
    """Migration {migration} is {state}: {reason}."""


class NeedsReview(errors.Refused):
    """Migration {migration} did not pass its validation.

    `reembed validate` shows why; `reembed switch --force` switches all the same.
    """


@click.command()
@click.option("--wait", is_flag=True, help="Show progress until the migration has been judged.")
def start(wait: bool) -> None:
    """Begin the migration, or go on with one that is under way."""
    with session.opened() as (database, settings):
        started = starting.start(database, settings)
        migration = started.migration
        verb = "begun" if started.begun else "under way already"
        click.echo(
            f"migration {migration.id} of {migration.table} to {migration.new_model}: {verb}, "
            f"{started.chunks:,} chunks"
        )
        if not wait:
            click.echo("`reembed status --watch` shows it.")
            return

        def look() -> Status:
            return progress.status(database, ledger.get(database, migration.id))

        try:
            status = waiting.until_at_rest(look)
        except KeyboardInterrupt:
            click.echo(
                "\nThe workers go on. `reembed status --watch` shows them, `reembed pause` stops them."
            )
            raise SystemExit(3) from None
    if status.state in ("paused", "failed", "aborted"):
        raise Stopped(migration=migration.id, state=status.state, reason=status.waiting_for or "given up")
    if status.state == "needs_review":
        raise NeedsReview(migration=migration.id)
    click.echo(f"migration {migration.id} is {status.state}: `reembed switch` is next.")
