"""Old against new: the same question put to both columns, as production would put it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from reembed.database import distances, ledger, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

# Rows that a query can lose because their text is the query's own
_SPARE = 20
# How many candidates an approximate index looks at. Wider than pgvector's 40, so that what differs is the model and not
# the luck of the index
_LEAST_BREADTH = 200
# The same for ivfflat, in lists; pgvector's default is 1
_PROBES = "64"

Vector = NDArray[np.float32]
SIDES: tuple[ledger.Side, ledger.Side] = ("old", "new")


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
    hashes: tuple[Any, ...] = ()
    """Of the texts, where they were asked for."""

    def first(self, k: int) -> "Ranking":
        return Ranking(self.ids[:k], self.similarities[:k], self.seconds, self.hashes[:k])

    def without(self, asking: Row) -> "Ranking":
        """Without the document that asks, and others of the very same text."""
        kept = [
            number
            for number, (key, text) in enumerate(zip(self.ids, self.hashes, strict=True))
            if key != asking.id and text != asking.content_hash
        ]
        return Ranking(
            [self.ids[number] for number in kept],
            [self.similarities[number] for number in kept],
            self.seconds,
            tuple(self.hashes[number] for number in kept),
        )


class Columns:
    """Both columns, ready to be asked for nearest documents."""

    def __init__(self, connection: Connection, migration: Migration, k: int) -> None:
        self._connection = connection
        self._k = k
        self._breadth = str(max(_LEAST_BREADTH, k + _SPARE))
        self._queries = {side: nearest(migration, side, "nearest") for side in SIDES}

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

    def _nearest(self, side: ledger.Side, vector: Vector, asking: Row | None = None) -> Ranking:
        """The k nearest, without the document that asks and others of the very same text."""
        limit = self._k + (_SPARE if asking else 0)
        # For this search alone: the next transaction may meet another session
        with self._connection.transaction():
            self._connection.execute(
                "SELECT set_config('hnsw.ef_search', %s, true), set_config('ivfflat.probes', %s, true)",
                [self._breadth, _PROBES],
            )
            found = search(self._connection, self._queries[side], vector, limit)
        if asking is not None:
            found = found.without(asking)
        return found.first(self._k)


def search(connection: Connection, query: sql.Composed, vector: Vector, limit: int) -> Ranking:
    """What one search finds, and how long that takes."""
    began = time.perf_counter()
    rows = connection.execute(query, {"query": vector, "limit": limit}).fetchall()
    seconds = time.perf_counter() - began
    keys, hashes, similarities = zip(*rows, strict=True) if rows else ((), (), ())
    return Ranking(list(keys), [float(one) for one in similarities], seconds, tuple(hashes))


def nearest(migration: Migration, side: ledger.Side, query: str, **names: sql.Composable) -> sql.Composed:
    """The query `query` for the documents that are nearest to a vector in the column of this side."""
    table = migration.table
    if side == "old":
        column, width = queries.identifier("d", table.old), migration.old_dimensions
        kind = migration.old_type
    else:
        column, width = (
            queries.identifier("n" if table.companion else "d", table.new),
            migration.new_model.dimensions,
        )
        kind = "vector"
    distance = distances.distance(column, sql.Placeholder("query"), migration.metric, kind, width)
    similarity = distances.similarity(distance, migration.metric)
    return queries.compose(
        query, {**migration.names, "column": column, "distance": distance, "similarity": similarity, **names}
    )
