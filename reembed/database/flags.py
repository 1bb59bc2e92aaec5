"""The flag: which column a search reads, and the model that made it. One row, read at once, says both."""

from dataclasses import dataclass

from psycopg import errors as pg

from reembed import settings
from reembed.database import queries
from reembed.database.connection import Connection
from reembed.database.distances import VectorType


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
    """How often `cleanup` gave the old column's name to new vectors."""
    metric: settings.Metric
    old: Side
    new: Side

    def active(self, override: bool | None = None) -> Side:
        """The side to search. `override` chooses the new (true) or old side while both exist."""
        if self.state == "cleaned":
            return Side(self.old.column, self.new.column_type, self.new.dimensions, self.new.model)
        if self.state == "cleaning":
            # The old column is gone, and its name stands for one that is still being filled
            return self.new
        if override is None or self.state == "planned":
            # `planned`: the new column may not be there yet
            return self.new if self.state == "switched" else self.old
        return self.new if override else self.old


def read(connection: Connection, schema: str, name: str) -> Flag | None:
    """The flag of a table; None where no migration ever touched it."""
    try:
        # A savepoint in the caller's transaction: without a ledger the statement fails
        with connection.transaction():
            row = queries.run(connection, "read_flag", None, schema=schema, name=name).fetchone()
    except (pg.UndefinedTable, pg.InvalidSchemaName):
        return None
    if row is None:
        return None
    old_model = settings.Model(**row["old_model"]) if row["old_model"] else None
    new_model = settings.Model(**row["new_model"])
    return Flag(
        state=row["state"],
        era=row["era"],
        metric=row["metric"],
        old=Side(row["old_column"], row["old_type"], row["old_dimensions"], old_model),
        new=Side(row["new_column"], "vector", new_model.dimensions, new_model, row["companion"]),
    )
