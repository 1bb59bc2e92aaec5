"""pause, resume, retry: a person's hand on a backfill."""

import click

from orchestrator import dispatch, prices
from orchestrator import resume as resuming
from orchestrator.command import limiting, session


@click.command()
def pause() -> None:
    """Stop the backfill; workers finish the batch in hand."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        resuming.pause(database, migration)
    click.echo(f"migration {migration.id} is paused; `reembed resume` continues it.")


@click.command()
@limiting.options
def resume(budget: float | None, until: float | None) -> None:
    """Go on after a pause, or after the cause of a stop was mended."""
    with session.opened() as (database, settings):
        dispatch.check_broker()
        migration = session.migration_of(database, settings)
        bought = prices.budget(budget, settings) if budget else None
        resuming.resume(database, migration, budget=bought, until=until)
    click.echo(f"migration {migration.id} goes on; `reembed status --watch` shows it.")


@click.command()
@click.option("--wrong", is_flag=True, help="Also the chunks of documents that `validate` proved wrong.")
def retry(wrong: bool) -> None:
    """Try failed chunks, refused documents and unusable vectors again, now."""
    with session.opened() as (database, settings):
        dispatch.check_broker()
        migration = session.migration_of(database, settings)
        chunks, documents = resuming.retry(database, migration, wrong=wrong)
    click.echo(f"{chunks:,} chunks and {documents:,} documents are tried again; `reembed status` shows it.")
