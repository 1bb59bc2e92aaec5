"""`plan --measure`: a few hundred vectors written in both ways, and taken back.

Everything happens in one transaction that is rolled back. It locks the rows that it writes, for a second or two, and
nothing else: the column is stood in for by the old one, set to what it is, which costs the table's indexes what the new
one would, and the vectors go into tables of the transaction's own. The old column's index is left with as many dead
entries, which the next VACUUM takes.
"""

import dataclasses
import time
from dataclasses import dataclass

import numpy as np

from reembed import errors
from reembed.database import binary, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.database.table import derive

ROWS = 300


class NothingToMeasure(errors.Refused):
    """The rows of {table} are all locked, or there are none, so nothing can be measured.

    Try again later.
    """


@dataclass(frozen=True)
class Rates:
    """Documents a second, by storage, without the wire and the ledger."""

    column: float
    companion: float

    def as_json(self) -> dict[str, float]:
        return dataclasses.asdict(self)


def measure(connection: Connection, migration: Migration) -> Rates:
    """Raises NothingToMeasure."""
    table = migration.table
    with connection.transaction(force_rollback=True):
        rows = queries.run(connection, "measured_rows", migration.names, limit=ROWS).fetchall()
        if not rows:
            raise NothingToMeasure(table=table)
        ids = [row["id"] for row in rows]
        shape = (len(ids), migration.new_model.dimensions)
        vectors = binary.Vectors(np.random.default_rng(0).normal(size=shape).astype(np.float32))
        key = queries.one(connection, "column_type", None, table=table.quoted, column=table.id)["definition"]
        names = {
            **migration.names,
            "id_type": queries.verbatim(key),
            "measured": queries.identifier(table.schema, derive("measured", table.name)),
            "beside": queries.identifier(table.schema, derive("beside", table.name)),
        }
        queries.run(connection, "create_measured", names)
        queries.run(connection, "create_beside", names)
        began = time.perf_counter()
        queries.run(connection, "measure_companion", names, ids=ids, vectors=vectors)
        between = time.perf_counter()
        queries.run(connection, "measure_column", names, ids=ids, vectors=vectors)
        ended = time.perf_counter()
    return Rates(column=len(ids) / (ended - between), companion=len(ids) / (between - began))
