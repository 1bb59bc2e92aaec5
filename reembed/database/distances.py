"""How a column is searched: the operator, the operator class, and the expression that its index is on.

pgvector indexes a `vector` of up to 2,000 dimensions and a `halfvec` of up to 4,000. A wider `vector` column is
therefore indexed, and searched, through a cast to halfvec: the column keeps full precision, the index half of it.
"""

from typing import Literal, LiteralString

from psycopg import sql

from reembed import errors, settings

VectorType = Literal["vector", "halfvec"]

_OPERATORS: dict[settings.Metric, LiteralString] = {"cosine": "<=>", "l2": "<->", "ip": "<#>"}
# Higher is more similar, whatever the metric: cosine similarity, 1 / (1 + distance), inner product
_SIMILARITIES: dict[settings.Metric, LiteralString] = {
    "cosine": "1 - ({})",
    "l2": "1 / (1 + ({}))",
    "ip": "-({})",
}

_WIDEST_VECTOR_INDEX = 2000
_WIDEST_HALFVEC_INDEX = 4000


class TooWideToIndex(errors.Usage):
    """{dimensions} dimensions cannot be indexed: pgvector's limit is 4,000.

    Set EMBED_DIMENSIONS to less, or INDEX_METHOD=none.
    """


def refuse_too_wide(dimensions: int, index_method: str) -> None:
    """Raises TooWideToIndex."""
    if dimensions > _WIDEST_HALFVEC_INDEX and index_method != "none":
        raise TooWideToIndex(dimensions=f"{dimensions:,}")


def index_type(column_type: VectorType, dimensions: int) -> VectorType:
    """The type that an index on such a column works in."""
    if column_type == "vector" and _WIDEST_VECTOR_INDEX < dimensions <= _WIDEST_HALFVEC_INDEX:
        return "halfvec"
    return column_type


def indexed(column: sql.Composable, column_type: VectorType, dimensions: int) -> sql.Composable:
    """The expression over the column that an index is on, and that a search has to use to be served by it."""
    kind = index_type(column_type, dimensions)
    if kind == column_type:
        return column
    return sql.SQL("({}::{}({}))").format(column, sql.SQL(kind), sql.Literal(dimensions))


def distance(
    column: sql.Composable,
    query: sql.Composable,
    metric: settings.Metric,
    column_type: VectorType,
    dimensions: int,
) -> sql.Composed:
    """The distance between a column and a query vector, as the index knows it; smaller is nearer."""
    return sql.SQL("{} {} {}::{}").format(
        indexed(column, column_type, dimensions),
        sql.SQL(_OPERATORS[metric]),
        query,
        sql.SQL(index_type(column_type, dimensions)),
    )


def similarity(distance: sql.Composable, metric: settings.Metric) -> sql.Composed:
    return sql.SQL(_SIMILARITIES[metric]).format(distance)


def full_similarity(
    column: sql.Composable, query: sql.Composable, metric: settings.Metric, column_type: VectorType
) -> sql.Composed:
    """The similarity by all that the column keeps, also where the index keeps half of it."""
    between = sql.SQL("{} {} {}::{}").format(column, sql.SQL(_OPERATORS[metric]), query, sql.SQL(column_type))
    return similarity(between, metric)


def operator_class(metric: settings.Metric, column_type: VectorType, dimensions: int) -> sql.Composable:
    """pgvector's operator class for an index on such a column."""
    return sql.Identifier(f"{index_type(column_type, dimensions)}_{metric}_ops")
