"""How a column is searched, by its type, its width and the metric."""

from typing import Literal

import pytest
from psycopg import sql

from reembed import settings
from reembed.database import distances

VectorType = Literal["vector", "halfvec"]

COLUMN, QUERY = sql.Identifier("e"), sql.Placeholder("q")
METRICS: tuple[settings.Metric, ...] = ("cosine", "l2", "ip")

# Column type, width: the type that its index works in, and the expression that the index is on
WIDTHS: tuple[tuple[VectorType, int, VectorType, str], ...] = (
    ("vector", 1, "vector", '"e"'),
    ("vector", 768, "vector", '"e"'),
    # pgvector indexes a vector of 2,000 dimensions at most; half of the precision reaches twice as far
    ("vector", 2000, "vector", '"e"'),
    ("vector", 2001, "halfvec", '("e"::halfvec(2001))'),
    ("vector", 3072, "halfvec", '("e"::halfvec(3072))'),
    ("vector", 4000, "halfvec", '("e"::halfvec(4000))'),
    # Too wide for any index, so searched in full precision
    ("vector", 4001, "vector", '"e"'),
    ("vector", 16_000, "vector", '"e"'),
    # A halfvec is what it is
    ("halfvec", 768, "halfvec", '"e"'),
    ("halfvec", 2000, "halfvec", '"e"'),
    ("halfvec", 2001, "halfvec", '"e"'),
    ("halfvec", 3072, "halfvec", '"e"'),
    ("halfvec", 4000, "halfvec", '"e"'),
    ("halfvec", 4001, "halfvec", '"e"'),
    # A column without a width of its own
    ("vector", 0, "vector", '"e"'),
    ("halfvec", 0, "halfvec", '"e"'),
)


@pytest.mark.parametrize(("column_type", "dimensions", "index_type", "expression"), WIDTHS)
def test_an_index_is_on_the_column_or_on_its_half_precision_where_only_that_fits(
    column_type: VectorType, dimensions: int, index_type: VectorType, expression: str
) -> None:
    assert distances.index_type(column_type, dimensions) == index_type
    assert distances.indexed(COLUMN, column_type, dimensions).as_string(None) == expression


OPERATORS = {"cosine": "<=>", "l2": "<->", "ip": "<#>"}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: f"{width[0]}({width[1]})")
def test_a_search_uses_the_expression_the_operator_and_the_type_of_the_index(
    metric: settings.Metric, width: tuple[VectorType, int, VectorType, str]
) -> None:
    column_type, dimensions, index_type, expression = width
    found = distances.distance(COLUMN, QUERY, metric, column_type, dimensions)
    assert found.as_string(None) == f"{expression} {OPERATORS[metric]} %(q)s::{index_type}"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: f"{width[0]}({width[1]})")
def test_the_operator_class_is_of_the_type_of_the_index_and_of_the_metric(
    metric: settings.Metric, width: tuple[VectorType, int, VectorType, str]
) -> None:
    column_type, dimensions, index_type, _ = width
    found = distances.operator_class(metric, column_type, dimensions)
    assert found.as_string(None) == f'"{index_type}_{metric}_ops"'


def test_the_whole_of_it_written_out() -> None:
    found = distances.distance(sql.Identifier("d", "embedding v2"), QUERY, "ip", "vector", 3072)
    assert found.as_string(None) == '("d"."embedding v2"::halfvec(3072)) <#> %(q)s::halfvec'
    assert distances.operator_class("ip", "vector", 3072).as_string(None) == '"halfvec_ip_ops"'


@pytest.mark.parametrize(
    ("metric", "similarity"), [("cosine", "1 - (x)"), ("l2", "1 / (1 + (x))"), ("ip", "-(x)")]
)
def test_higher_is_more_similar_whatever_the_metric(metric: settings.Metric, similarity: str) -> None:
    assert distances.similarity(sql.SQL("x"), metric).as_string(None) == similarity


@pytest.mark.parametrize(
    ("dimensions", "index_method"),
    [(1, "hnsw"), (4000, "hnsw"), (4000, "ivfflat"), (4001, "none"), (16_000, "none")],
)
def test_a_width_that_an_index_takes_or_that_needs_none_is_let_through(
    dimensions: int, index_method: str
) -> None:
    distances.refuse_too_wide(dimensions, index_method)


@pytest.mark.parametrize("index_method", ["hnsw", "ivfflat"])
@pytest.mark.parametrize(("dimensions", "written"), [(4001, "4,001"), (16_000, "16,000")])
def test_a_width_that_no_index_takes_is_refused(dimensions: int, written: str, index_method: str) -> None:
    with pytest.raises(distances.TooWideToIndex) as error:
        distances.refuse_too_wide(dimensions, index_method)
    assert str(error.value) == (
        f"{written} dimensions cannot be indexed: pgvector's limit is 4,000. "
        "Set EMBED_DIMENSIONS to less, or INDEX_METHOD=none."
    )
    assert error.value.exit_code == 2
