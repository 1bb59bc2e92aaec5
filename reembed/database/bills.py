"""The bill: tokens that providers billed for a migration, as the ledger has them."""

from dataclasses import dataclass

from reembed.database import queries
from reembed.database.connection import Connection


@dataclass(frozen=True)
class Bill:
    """Tokens, of the backfill, of catching up and of judgements."""

    new: int
    old: int
    """Of the old model: queries of judgements, and the old column that is kept fresh after the switch."""
    untold: bool = False
    """The provider reports no usage."""
    saved: int = 0
    """Of the new model's: so many are not paid for, because jobs cost less."""


def of(connection: Connection, migration_id: int) -> Bill:
    return Bill(**queries.one(connection, "billed", None, migration_id=migration_id))
