"""--budget and --until: the limits of a migration, as they are typed."""

from collections.abc import Callable

import click

from orchestrator.command import amounts


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Both of them, as `budget` and `until`."""
    budget = click.option(
        "--budget",
        type=amounts.Number(above=0),
        metavar="USD",
        help="Pause before embedding has cost so much.",
    )
    until = click.option(
        "--until",
        type=amounts.Number(above=0, below=100),
        metavar="PERCENT",
        help="Pause when so much of the documents is embedded, to have a look.",
    )
    return budget(until(command))
