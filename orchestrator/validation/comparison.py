"""Old against new: the same question put to both columns, as production would put it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from reembed.database import distances, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

# Rows that a query can lose because their text is the query's own
_SPARE = 20
# How many candidates an approximate index looks at. Wider than pgvector's 40, so that what differs is the model and not
# the luck of the index
_LEAST_BREADTH = 200

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """A document with both of its vectors."""

    id: str
    content_hash: Any
    old: Vector
    new: Vector
    slice: str | None = None
    """Its value in VALIDATION_SLICE_COLUMN."""


def sample(
    connection: Connection, migration: Migration, rows: int, size: int, slice_column: str | None = None
) -> list[Row]:
    """About `size` random documents that have both vectors, in random order; the same at each call.

    `rows` is the table's size, by which the share to read is chosen.
    """
    # Twice as many as needed, since some have no vectors yet; single rows of a small table, whole pages of a large one
    percent = min(100.0, 200 * size / max(rows, 1))
    names = {
        **migration.names,
        "percent": sql.Literal(percent),
        "slice": sql.SQL("{}::text").format(queries.identifier("d", slice_column))
        if slice_column
        else sql.SQL("NULL"),
        "sampling": sql.SQL("BERNOULLI" if rows < 1_000_000 else "SYSTEM"),
    }
    return [Row(**row) for row in queries.run(connection, "sample_rows", names, seed=42, limit=size)]


@dataclass(frozen=True)
class Ranking:
    """What one search found, the nearest first."""

    ids: list[str]
    similarities: list[float]
    """Higher is more similar."""
    seconds: float
    """That the search took."""

    def first(self, k: int) -> "Ranking":
        return Ranking(self.ids[:k], self.similarities[:k], self.seconds)


class Columns:
    """Both columns, ready to be asked for nearest documents."""

    def __init__(self, connection: Connection, migration: Migration, k: int) -> None:
        self._connection = connection
        self._k = k
        self._breadth = str(max(_LEAST_BREADTH, k + _SPARE))
        self._queries = {
            "old": self._compose(
                migration,
                queries.identifier("d", migration.table.old),
                migration.old_type,
                migration.old_dimensions,
            ),
            "new": self._compose(
                migration,
                queries.identifier("n" if migration.table.companion else "d", migration.table.new),
                "vector",
                migration.new_model.dimensions,
            ),
        }

    def by_document(self, rows: list[Row]) -> Iterator[tuple[str, tuple[Ranking, Ranking]]]:
        """Each row as a query by its own stored vectors: id, nearest by the old ones, nearest by the new ones."""
        for row in rows:
            yield row.id, (self._nearest("old", row.old, row), self._nearest("new", row.new, row))

    def by_query(self, old: Vector, new: Vector, *, exact: bool = False) -> tuple[Ranking, Ranking]:
        """A query's vectors by both models: nearest by the old one, nearest by the new one; `exact`: by no index."""
        with self._connection.transaction():
            if exact:
                self._connection.execute("SELECT set_config('enable_indexscan', 'off', true)")
            return self._nearest("old", old), self._nearest("new", new)

    def _nearest(self, side: str, vector: Vector, asking: Row | None = None) -> Ranking:
        """The k nearest, without the document that asks and others of the very same text."""
        limit = self._k + (_SPARE if asking else 0)
        # For this search alone: the next transaction may meet another session
        with self._connection.transaction():
            self._connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", [self._breadth])
            began = time.perf_counter()
            rows = self._connection.execute(self._queries[side], {"query": vector, "limit": limit}).fetchall()
            seconds = time.perf_counter() - began
        found = [
            (key, similarity)
            for key, content_hash, similarity in rows
            if asking is None or (key != asking.id and content_hash != asking.content_hash)
        ]
        return Ranking([key for key, _ in found], [float(one) for _, one in found], seconds).first(self._k)

    @staticmethod
    def _compose(
        migration: Migration, column: sql.Composable, column_type: distances.VectorType, dimensions: int
    ) -> sql.Composed:
        distance = distances.distance(
            column, sql.Placeholder("query"), migration.metric, column_type, dimensions
        )
        similarity = distances.similarity(distance, migration.metric)
        names = {**migration.names, "column": column, "distance": distance, "similarity": similarity}
        return queries.compose("nearest", names)
