"""plan, start, pause, resume, retry: a migration on its way."""

import click

from orchestrator import dispatch, progress
from orchestrator import resume as resuming
from orchestrator import start as starting
from orchestrator.command import session, waiting
from orchestrator.progress import Status
from orchestrator.start import Plan
from reembed import errors
from reembed.database import ledger


class Stopped(errors.ReembedError):
    """Migration {migration} is {state}: {reason}."""


class NeedsReview(errors.Refused):
    """Migration {migration} did not pass its validation.

    `reembed validate` shows why; `reembed switch --force` switches all the same.
    """


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def plan(as_json: bool) -> None:
    """Show what `start` would do. Changes nothing."""
    with session.opened() as (database, settings):
        planned = starting.plan(database, settings)
    if as_json:
        session.print_json(_plan_json(planned))
    else:
        click.echo("\n".join(_plan_lines(planned)))


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


@click.command()
def pause() -> None:
    """Stop the backfill; workers finish the batch in hand."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        resuming.pause(database, migration)
    click.echo(f"migration {migration.id} is paused; `reembed resume` continues it.")


@click.command()
def resume() -> None:
    """Go on after a pause, or after the cause of a stop was mended."""
    with session.opened() as (database, settings):
        dispatch.check_broker()
        migration = session.migration_of(database, settings)
        resuming.resume(database, migration)
    click.echo(f"migration {migration.id} goes on; `reembed status --watch` shows it.")


@click.command()
def retry() -> None:
    """Try failed chunks and refused documents again, now."""
    with session.opened() as (database, settings):
        dispatch.check_broker()
        migration = session.migration_of(database, settings)
        chunks, documents = resuming.retry(database, migration)
    click.echo(f"{chunks:,} chunks and {documents:,} documents are tried again; `reembed status` shows it.")


COMMANDS = (plan, start, pause, resume, retry)


def _plan_json(planned: Plan) -> dict[str, object]:
    load = planned.load
    return {
        "table": str(planned.found.table),
        "old_column": planned.found.table.old,
        "new_column": planned.found.table.new,
        "model": planned.settings.new_model.name,
        "dimensions": planned.settings.new_model.dimensions,
        "documents": load.documents,
        "tokens": load.tokens,
        "cost_usd": planned.dollars,
        "chunks": load.chunks,
        "chunk_size": load.chunk_size,
        "waves": load.waves(dispatch.WAVE),
        "requests": load.requests,
        "seconds_at_quota": planned.seconds_at_quota,
        "storage": planned.settings.storage,
        "vector_bytes": planned.vector_bytes,
        "statements": planned.statements,
    }


def _plan_lines(planned: Plan) -> list[str]:
    load, table = planned.load, planned.found.table
    price = planned.price
    if price is None:
        cost = "unknown: set EMBED_PRICE_PER_MILLION_TOKENS"
    else:
        as_of = f", list price of {price.as_of}" if price.as_of else ""
        cost = f"{price.of(load.tokens):,.2f} USD ({price.dollars} a million tokens{as_of})"
    seconds = planned.seconds_at_quota
    quota = (
        "none set: as fast as the provider answers"
        if seconds is None
        else f"{progress.duration(seconds)} at least"
    )
    return [
        f"table       {table}: {table.old} stays as it is until cleanup, {table.new} is added",
        f"model       {planned.settings.new_model}",
        f"documents   {load.documents:,}",
        f"tokens      about {load.tokens:,} (estimated from a sample, rather too many than too few)",
        f"cost        {cost}",
        f"chunks      {load.chunks:,} of {load.chunk_size:,} documents, in {load.waves(dispatch.WAVE)} waves",
        f"requests    about {load.requests:,}",
        f"quota       {quota}",
        "",
        "`reembed start` runs:",
        *(f"{statement};" for statement in planned.statements),
    ]
