"""Asking both columns exactly and through their indexes, for index_recall.py.

Exact search looks at every row, so it is bounded. Of a larger table a random share of the pages is searched: then what
is counted is which of the sampled documents within reach (as near as the last result, or nearer) the index returned.
That is recall as long as little is missed; where much is, reach is wider than the nearest k, and the figure is lower.
"""

from collections.abc import Sequence

import numpy as np
from psycopg import sql

from orchestrator.validation import comparison, index_recall, intervals
from orchestrator.validation.comparison import Ranking, Vector
from orchestrator.validation.index_recall import Curve, IndexRecall, Point
from reembed.database import catalog, ledger, queries, table, tuning
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

QUERIES = 50
# Rows that one exact search looks at: about a tenth of a second
EXACT_ROWS = 50_000

PARAMETERS = {"hnsw": "hnsw.ef_search", "ivfflat": "ivfflat.probes"}
_DEFAULTS = {"hnsw": 40, "ivfflat": 1}

Asked = tuple[str | None, Vector]
"""A query's vector; with a key, the document that asks, which shall not find itself."""


def measure(
    connection: Connection,
    migration: Migration,
    documents: int,
    old: Sequence[Asked],
    new: Sequence[Asked],
    k: int,
) -> IndexRecall | None:
    """Ask by vectors of the old and of the new model. None where there is nothing to ask or no index to ask."""
    share = min(1.0, EXACT_ROWS / max(documents, 1))
    curves: dict[ledger.Side, Curve | None] = {}
    sides: tuple[tuple[ledger.Side, Sequence[Asked]], ...] = (("old", old[:QUERIES]), ("new", new[:QUERIES]))
    for side, asked in sides:
        index = _index(connection, migration, side) if asked else None
        curves[side] = (
            _curve(connection, migration, side, index, documents, share, asked, k) if index else None
        )
    if not any(curves.values()):
        return None
    return IndexRecall(
        k, len(old[:QUERIES]), documents, round(share * documents), curves["old"], curves["new"]
    )


def _index(connection: Connection, migration: Migration, side: ledger.Side) -> catalog.VectorIndex | None:
    target = migration.table
    name, column = (target.name, target.old) if side == "old" else (target.vectors, target.new)
    found = catalog.vector_indexes(connection, table.quoted(target.schema, name), column)
    return next((index for index in found if index.valid), None)


def _curve(
    connection: Connection,
    migration: Migration,
    side: ledger.Side,
    index: catalog.VectorIndex,
    documents: int,
    share: float,
    asked: Sequence[Asked],
    k: int,
) -> Curve | None:
    """None where no query has anything within reach, of a share too small."""
    # Room for what the index missed, in a share of the table
    exactly = _search_exactly(connection, migration, side, asked, share, 4 * k if share < 1 else k)
    parameter = PARAMETERS[index.method]
    set_to = queries.one(connection, "setting_in_use", None, name=parameter)["value"]
    in_use = int(set_to or _DEFAULTS[index.method])
    points = []
    for value in index_recall.widths(index.method, in_use, index.lists):
        found = _search_by_index(connection, migration, side, asked, parameter, value, k)
        counts = [
            index_recall.count(near, truth, k, share) for near, truth in zip(found, exactly, strict=True)
        ]
        hits, possible = [hit for hit, _ in counts], [most for _, most in counts]
        if not sum(possible):
            continue
        median, p95 = np.percentile([1_000 * near.seconds for near in found], [50, 95])
        low, high = intervals.bootstrap_share(hits, possible)
        points.append(Point(value, sum(hits) / sum(possible), low, high, float(median), float(p95)))
    if not points:
        return None
    wanted = tuning.lists(tuning.BY_SIZE, documents) if index.lists else None
    return Curve(index.name, parameter, in_use, tuple(points), index.lists, wanted)


def _search_exactly(
    connection: Connection,
    migration: Migration,
    side: ledger.Side,
    asked: Sequence[Asked],
    share: float,
    limit: int,
) -> list[Ranking]:
    query = comparison.nearest(migration, side, "nearest_exactly", percent=sql.Literal(100 * share))
    with connection.transaction():
        # A companion is not sampled itself: its index would be asked
        connection.execute("SELECT set_config('enable_indexscan', 'off', true)")
        return [_search(connection, query, one, limit) for one in asked]


def _search_by_index(
    connection: Connection,
    migration: Migration,
    side: ledger.Side,
    asked: Sequence[Asked],
    parameter: str,
    value: int,
    k: int,
) -> list[Ranking]:
    query = comparison.nearest(migration, side, "nearest")
    with connection.transaction():
        # A small table is read whole and sorted when it may be: its index would not be asked
        connection.execute("SELECT set_config('enable_seqscan', 'off', true)")
        connection.execute("SELECT set_config('enable_sort', 'off', true)")
        connection.execute("SELECT set_config(%s, %s, true)", [parameter, str(value)])
        return [_search(connection, query, one, k) for one in asked]


def _search(connection: Connection, query: sql.Composed, asked: Asked, k: int) -> Ranking:
    asking, vector = asked
    if asking is None:
        return comparison.search(connection, query, vector, k)
    # One document more, since it finds itself
    found = comparison.search(connection, query, vector, k + 1)
    kept = [number for number, key in enumerate(found.ids) if key != asking][:k]
    return Ranking([found.ids[n] for n in kept], [found.similarities[n] for n in kept], found.seconds)
