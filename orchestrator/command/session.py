"""What every command begins with: settings, a connection, the migration of the table that the environment names."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from config.settings import Settings
from reembed import errors
from reembed.database import catalog, connection, ledger, table
from reembed.database.connection import Connection
from reembed.database.ledger import Migration


class NobodyToAsk(errors.Usage):
    """This cannot be undone, and there is no terminal to ask at; nothing was changed.

    Add --yes if you mean it.
    """


class Declined(errors.Refused):
    """Nothing was changed."""


class Unanswered(errors.ReembedError):
    """interrupted; nothing was changed."""


@contextmanager
def opened() -> Iterator[tuple[Connection, Settings]]:
    """Raises errors.Usage."""
    settings = Settings.load()
    with connection.connect(settings.direct_database, "command") as database:
        yield database, settings


def migration_of(database: Connection, settings: Settings) -> Migration:
    """The newest migration of DOCUMENTS_TABLE. Raises ledger.NoMigration, fitness.NoTable, table.InvalidTableName."""
    schema, name = table.parse(settings.documents_table)
    if schema is None:
        schema = catalog.schema_of(database, name)
    return ledger.latest(database, schema, name)


def print_json(value: dict[str, Any]) -> None:
    """One object, and nothing else on stdout."""
    click.echo(json.dumps(value, default=str))


def confirm(question: str, yes: bool) -> None:
    """Ask before what cannot be undone. Raises NobodyToAsk, Declined, Unanswered."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NobodyToAsk
    try:
        agreed = click.confirm(question)
    except click.Abort:
        # The cursor stands behind the question
        click.echo(err=True)
        raise Unanswered from None
    if not agreed:
        raise Declined
