"""failures: the documents that the provider refuses, and those that are too long for it."""

import click

from orchestrator.command import session
from reembed.database import failures as refused
from reembed.database import overlong


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def failures(as_json: bool) -> None:
    """List the documents that the provider refuses, with its words, and those that are too long for it."""
    with session.opened() as (database, settings):
        migration = session.migration_of(database, settings)
        found = refused.find(database, migration)
        long = overlong.find(database, migration)
    if as_json:
        listed = [{"id": one.document_id, "reason": one.reason, "failed_at": one.failed_at} for one in found]
        treated = [{"id": one.document_id, "treatment": one.treatment, "tokens": one.tokens} for one in long]
        session.print_json({"migration": migration.id, "failures": listed, "overlong": treated})
        return
    for one in found:
        click.echo(f"{one.document_id}  {one.failed_at:%Y-%m-%d %H:%M}  {one.reason}")
    for text in long:
        click.echo(f"{text.document_id}  {text.treatment}, {text.tokens:,} tokens")
    if long:
        click.echo(f"{len(long):,} documents are longer than the model takes, and embedded all the same.")
    click.echo(
        f"{len(found):,} documents are refused; a new text releases one, `reembed retry` tries all again."
    )
