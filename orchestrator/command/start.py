"""start: begin a migration, and watch it until it has been judged."""

import click

from orchestrator import over, prices
from orchestrator import start as starting
from orchestrator.command import limiting, session, waiting
from orchestrator.doctor import roll_call
from reembed import errors
from reembed.database import ledger
from reembed.database.ledger import Migration

NOBODY = (
    "no worker answers over the broker: start one with `celery -A config.celery_app worker -Q reembed.embed`"
)
WORKERS_GO_ON = "The workers go on. `reembed status --watch` shows them, `reembed pause` stops them."
NOBODY_GOES_ON = (
    "No worker answers over the broker. `reembed status` shows where the migration stands, "
    "`reembed abort` gives it up."
)


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
        if migration.state != "backfilling":
            verb += f" ({migration.state})"
        click.echo(
            f"migration {migration.id} of {migration.table} to {migration.new_model}: {verb}, "
            f"{started.chunks:,} chunks"
        )
        if migration.state == "backfilling" and roll_call.nobody_embeds():
            click.echo(NOBODY)
        if not wait:
            click.echo(_next(migration))
            return
        try:
            status = waiting.until_at_rest(waiting.looking(database, settings, migration.id))
            migration = ledger.get(database, migration.id)
        except KeyboardInterrupt:
            click.echo(f"\n{NOBODY_GOES_ON if roll_call.nobody_embeds() else WORKERS_GO_ON}")
            raise SystemExit(3) from None
    if status.state in ("paused", "failed", "aborted"):
        raise Stopped(migration=migration.id, state=status.state, reason=status.waiting_for or "given up")
    if status.state == "needs_review":
        raise NeedsReview(migration=migration.id)
    click.echo(f"migration {migration.id} is {migration.state}: {_next(migration)}")


def _next(migration: Migration) -> str:
    """What to type, or to look at, in the state in which it is."""
    if migration.state in over.WAY_ON:
        return f"searches read {migration.table.new}; {over.WAY_ON[migration.state]}."
    return _NEXT.get(migration.state, "`reembed status --watch` shows it.")


_NEXT = {
    "ready": "`reembed switch` is next.",
    "needs_review": "it did not pass its validation; `reembed validate` shows why.",
    "cleaned": "nothing is left to do.",
}
