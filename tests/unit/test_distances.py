"""How a column is searched, by its type, its width and the metric."""

from typing import Literal

import pytest
from psycopg import sql

from reembed import settings
from reembed.database import distances

COLUMN, QUERY = sql.Identifier("e"), sql.Placeholder("q")


@pytest.mark.parametrize(
    ("column_type", "dimensions", "metric", "expression", "operator_class"),
    [
        ("vector", 768, "cosine", '"e" <=> %(q)s::vector', '"vector_cosine_ops"'),
        ("vector", 2000, "l2", '"e" <-> %(q)s::vector', '"vector_l2_ops"'),
        ("vector", 2001, "cosine", '("e"::halfvec(2001)) <=> %(q)s::halfvec', '"halfvec_cosine_ops"'),
        ("vector", 4000, "ip", '("e"::halfvec(4000)) <#> %(q)s::halfvec', '"halfvec_ip_ops"'),
        ("vector", 4001, "cosine", '"e" <=> %(q)s::vector', '"vector_cosine_ops"'),
        ("halfvec", 768, "cosine", '"e" <=> %(q)s::halfvec', '"halfvec_cosine_ops"'),
        ("halfvec", 3072, "l2", '"e" <-> %(q)s::halfvec', '"halfvec_l2_ops"'),
    ],
)
def test_a_search_uses_the_expression_that_the_index_is_on(
    column_type: Literal["vector", "halfvec"],
    dimensions: int,
    metric: settings.Metric,
    expression: str,
    operator_class: str,
) -> None:
    found = distances.distance(COLUMN, QUERY, metric, column_type, dimensions).as_string()
    assert found == expression
    assert distances.operator_class(metric, column_type, dimensions).as_string() == operator_class
    assert found.startswith(distances.indexed(COLUMN, column_type, dimensions).as_string())


@pytest.mark.parametrize(
    ("metric", "similarity"), [("cosine", "1 - (x)"), ("l2", "1 / (1 + (x))"), ("ip", "-(x)")]
)
def test_higher_is_more_similar_whatever_the_metric(metric: settings.Metric, similarity: str) -> None:
    assert distances.similarity(sql.SQL("x"), metric).as_string() == similarity


def test_a_width_that_no_index_takes_is_refused_unless_none_is_wanted() -> None:
    distances.refuse_too_wide(4000, "hnsw")
    distances.refuse_too_wide(16_000, "none")
    with pytest.raises(distances.TooWideToIndex):
        distances.refuse_too_wide(4001, "ivfflat")
