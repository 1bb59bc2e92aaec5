"""start: begin a migration, and watch it until it has been judged."""

import click

from orchestrator import prices, progress
from orchestrator import start as starting
from orchestrator.command import limiting, session, waiting
from orchestrator.prices import Prices
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
@limiting.options
def start(wait: bool, budget: float | None, until: float | None) -> None:
    """Begin the migration, or go on with one that is under way."""
    with session.opened() as (database, settings):
        bought = prices.budget(budget, settings) if budget else None
        started = starting.start(database, settings, budget=bought, until=until)
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
            current = ledger.get(database, migration.id)
            return progress.status(database, current, Prices.of(settings, current))

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
