"""switch, rollback, cleanup, abort: what only a person decides."""

import click

from orchestrator import flag, jobs
from orchestrator.command import amounts, session


@click.command()
@click.option(
    "--percent",
    type=amounts.Whole(1, 100),
    default=100,
    metavar="P",
    help="Only this share of the keys that services search with: a canary.",
)
@click.option("--force", is_flag=True, help="Even against the judgement. Who did it, and when, is recorded.")
def switch(percent: int, force: bool) -> None:
    """Searches go to the new column, within a second."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        overridden = flag.switch(database, migration, settings, percent=percent, force=force)
    if overridden:
        click.echo(f"forced, and recorded: {overridden}", err=True)
    new = migration.table.new
    if percent == 100:
        click.echo(f"searches read {new} now; `reembed rollback` leads back at once.")
        return
    click.echo(
        f"searches with a key read {new} for {percent} % of the keys now; `reembed status` shows both sides, "
        "`reembed rollback` leads back at once."
    )


@click.command()
def rollback() -> None:
    """Searches go back to the old column, within a second; a canary's as well."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        suffering = flag.rollback(database, migration)
    click.echo(f"searches read {migration.table.old} again; `reembed switch` leads to the new column.")
    if suffering.hidden:
        click.echo(f"{suffering.hidden:,} documents have no old vector and are not found there.")
    if suffering.stale:
        click.echo(f"{suffering.stale:,} documents are found there by an older text.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be done. Changes nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def cleanup(dry_run: bool, yes: bool) -> None:
    """Drop the old column and give its name, and its index's, to the new one. Cannot be undone."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        table = migration.table
        indexes = flag.refuse_cleanup(database, migration)
        if migration.state != "cleaning":
            click.echo(f"drops  {table}.{table.old}" + "".join(f" and its index {name}" for name in indexes))
        if table.companion:
            click.echo(f"brings {table.companion}.{table.new} home to {table}.{table.old}, batch by batch")
            click.echo("builds its index, then drops the companion")
        else:
            click.echo(f"renames {table.new} to {table.old}, with its index, its model and its hash")
        if dry_run:
            return
        if migration.state != "cleaning":
            session.confirm("There is no way back from this. Go on?", yes)
        flag.cleanup(database, migration, settings.index_tuning, click.echo)
    click.echo(f"done: {table.old} holds the vectors of {migration.new_model}.")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def abort(yes: bool) -> None:
    """Give the migration up: drop what `start` added. The old column was never touched."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        flag.refuse_abort(migration)
        session.confirm(f"Every vector in {migration.table.new} will be lost. Go on?", yes)
        flag.abort(database, migration)
        cancelled, left = jobs.cancel(database, settings, migration)
    if cancelled:
        click.echo(f"{len(cancelled)} jobs at the provider were cancelled.")
    if left:
        names = ", ".join(job.name or str(job.key) for job in left)
        click.echo(f"the provider may still be at work on, and bill: {names}; cancel them there.")
    click.echo(f"migration {migration.id} is aborted; {migration.table} is as it was before `reembed start`.")
