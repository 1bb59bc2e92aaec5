"""What docs/operations.md says stands in the user's table is what stands there."""

import re

from config.settings import Settings
from orchestrator.embedded.process import CHECKOUT
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests.integration.conftest import BOTH_STORAGES

pytestmark = BOTH_STORAGES


def said(storage: str) -> set[str]:
    """The names of triggers that the document says a migration adds to the table."""
    text = (CHECKOUT / "docs" / "operations.md").read_text()
    in_table, with_companion = text.split("\nIn the user's table: ")[1].split("With a companion: ")
    sentence = in_table if storage == "column" else with_companion.split(";")[0]
    return set(re.findall(r"`(~\w+)`", sentence))


def test_every_trigger_is_documented_and_no_other(
    database: Connection, settings: Settings, migration: Migration, storage: str
) -> None:
    names = database.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'documents'::regclass AND NOT tgisinternal"
    ).fetchall()
    assert {name for (name,) in names} == said(storage)
