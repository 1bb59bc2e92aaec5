"""The flag: which column a search reads, and the model that made it. One row, read at once, says both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import errors as pg

from reembed import settings
from reembed.database import canary, queries
from reembed.database.connection import Connection
from reembed.database.distances import VectorType
from reembed.database.ledger import Migration

NO_LEDGER = (pg.UndefinedTable, pg.InvalidSchemaName)
"""What PostgreSQL says to `read_flag` where no `start` was ever made."""


@dataclass(frozen=True)
class Side:
    """A column that can be searched."""

    column: str
    column_type: VectorType
    dimensions: int
    model: settings.Model | None
    """What made its vectors; None where nobody ever said."""
    companion: str | None = None
    """The table that it is in, keyed by the document; None: the documents table itself."""


@dataclass(frozen=True)
class Flag:
    """What the ledger says about one table."""

    state: str
    """Of the table's newest migration."""
    era: int
    """How often a column's name ceased to mean what it meant."""
    metric: settings.Metric
    old: Side
    new: Side
    migration: int = 0
    canary_percent: int = 0

    @property
    def has_both(self) -> bool:
        """Whether both sides are complete enough to be searched."""
        return self.state in ("ready", "needs_review", "switched")

    def chooses_new(self, override: bool | None = None, key: str | None = None) -> bool:
        """Whether a search reads the new model's vectors.

        `override` chooses the new (true) or old side while both exist; `key` is what a canary goes by.
        """
        if self.state in ("cleaning", "cleaned"):
            return True
        if override is None or self.state == "planned":
            # `planned`: the new column may not be there yet
            return self.state == "switched" or canary.chosen(self.migration, key, self.canary_percent)
        return override

    def active(self, override: bool | None = None, key: str | None = None) -> Side:
        """The side to search, as `chooses_new` says."""
        if self.state == "cleaned":
            return Side(self.old.column, self.new.column_type, self.new.dimensions, self.new.model)
        # `cleaning`: the old column's name stands for one that is still being filled
        return self.new if self.chooses_new(override, key) else self.old


def of_row(row: Mapping[str, Any]) -> Flag | None:
    """The flag from a row of `read_flag`; None where the table has no migration."""
    if row["state"] is None:
        return None
    old_model = settings.Model(**row["old_model"]) if row["old_model"] else None
    new_model = settings.Model(**row["new_model"])
    return Flag(
        state=row["state"],
        era=row["era"],
        metric=row["metric"],
        old=Side(row["old_column"], row["old_type"], row["old_dimensions"], old_model),
        new=Side(row["new_column"], "vector", new_model.dimensions, new_model, row["companion"]),
        migration=row["migration_id"],
        canary_percent=row["canary_percent"],
    )


def read(connection: Connection, schema: str, name: str) -> Flag | None:
    """The flag of a table; None where no migration ever touched it."""
    try:
        # A savepoint in the caller's transaction: without a ledger the statement fails
        with connection.transaction():
            return of_row(queries.one(connection, "read_flag", None, schema=schema, name=name))
    except NO_LEDGER:
        return None


def change(connection: Connection, migration: Migration, to_state: str, to_percent: int) -> bool:
    """Compare-and-set of state and canary; False where somebody else moved one of them since `migration` was read.

    Services that listen are told by the same transaction (the trigger `tell`).
    """
    cursor = queries.run(
        connection, "change_flag", None,
        migration_id=migration.id, from_state=migration.state, to_state=to_state,
        from_percent=migration.canary_percent, to_percent=to_percent,
    )  # fmt: skip
    return cursor.rowcount == 1
