"""failures: the documents that the provider refuses."""

import click

from orchestrator.command import session
from reembed.database import failures as refused


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def failures(as_json: bool) -> None:
    """List the documents that the provider refuses, with its words."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        found = refused.find(database, migration)
    if as_json:
        listed = [{"id": one.document_id, "reason": one.reason, "failed_at": one.failed_at} for one in found]
        session.print_json({"migration": migration.id, "failures": listed})
        return
    for one in found:
        click.echo(f"{one.document_id}  {one.failed_at:%Y-%m-%d %H:%M}  {one.reason}")
    click.echo(
        f"{len(found):,} documents are refused; a new text releases one, `reembed retry` tries all again."
    )
