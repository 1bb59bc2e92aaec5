"""A search as SQL: composed from the environment's names, the side and the caller's wishes, and from nothing else."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, LiteralString

from psycopg import sql

from reembed import errors, settings
from reembed.database import distances, queries
from reembed.database.flags import Flag, Side

Where = LiteralString | sql.SQL | sql.Composed
"""A condition on the documents. Part of the program: it may hold no text that came from outside."""

# hnsw.ef_search unless somebody sets it: without iterating, no HNSW index finds more
_USUAL_EF_SEARCH = 40
# The first pgvector that iterates
_ITERATIVE_SINCE = (0, 8)
_OURS = "reembed_"


class ParameterTaken(errors.Usage):
    """The parameter {name} begins as those of reembed do.

    Give it a name that does not begin with reembed_.
    """


@dataclass(frozen=True)
class Question:
    """What a caller asks for."""

    query: str
    top_k: int
    key: str | None = None
    where: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ef_search: int | None = None
    probes: int | None = None

    @classmethod
    def of(
        cls,
        query: str,
        top_k: int,
        key: object,
        where: Where | None,
        parameters: Mapping[str, Any] | None,
        ef_search: int | None,
        probes: int | None,
    ) -> "Question":
        """Raises ParameterTaken."""
        given = dict(parameters or {})
        for name in given:
            if name.startswith(_OURS):
                raise ParameterTaken(name=name)
        condition = where.as_string() if isinstance(where, sql.Composable) else where
        return cls(
            query, top_k, None if key is None else str(key), condition, given, ef_search, probes
        )  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What one look at the database said about where to search."""

    schema: str
    name: str
    era: int | None
    """None: there is no ledger."""
    flag: Flag | None
    column: Side | None
    """The old column as the catalog has it, where there is no flag."""
    pgvector: tuple[int, ...]

    def side(self, override: bool | None, key: str | None) -> Side:
        if self.flag is not None:
            return self.flag.active(override, key)
        assert self.column is not None  # noqa: S101  a reading has one of the two
        return self.column

    def chooses_new(self, override: bool | None, key: str | None) -> bool:
        return self.flag is not None and self.flag.chooses_new(override, key)


def statement(environment: settings.Settings, reading: Reading, side: Side, question: Question) -> sql.SQL:
    """The SELECT, with named parameters (`%(name)s`): those of `values`, and the caller's."""
    return compose(
        Documents.of(environment, reading.schema, reading.name),
        side,
        reading.flag.metric if reading.flag else environment.index_metric,
        "no ledger" if reading.era is None else "era",
        question.where,
        question.top_k,
    )


def values(reading: Reading, question: Question, vector: object) -> dict[str, Any]:
    return {
        **question.parameters,
        "reembed_query": vector,
        "reembed_era": reading.era,
        "reembed_schema": reading.schema,
        "reembed_name": reading.name,
    }


def local_settings(reading: Reading, question: Question) -> dict[str, str]:
    """What has to be set for this search alone, by name.

    A filter drops what the index found, and an HNSW index finds no more than ef_search: then it has to go on looking.
    """
    found: dict[str, str] = {}
    if question.ef_search is not None:
        found["hnsw.ef_search"] = str(question.ef_search)
    if question.probes is not None:
        found["ivfflat.probes"] = str(question.probes)
    wants_more = question.where is not None or question.top_k > _USUAL_EF_SEARCH
    if wants_more and reading.pgvector >= _ITERATIVE_SINCE:
        found["hnsw.iterative_scan"] = "strict_order"
        found["ivfflat.iterative_scan"] = "relaxed_order"
    return found


@dataclass(frozen=True)
class Documents:
    """The names in the documents table that every search needs."""

    schema: str | None
    name: str
    id: str
    content: str

    @classmethod
    def of(cls, environment: settings.Settings, schema: str | None, name: str) -> "Documents":
        return cls(schema, name, environment.documents_id_column, environment.documents_content_column)


Proof = Literal["era", "no ledger", "none"]
"""How the SELECT proves that names still mean what they meant."""
_PROOFS = {
    "era": queries.compose("unchanged"),
    "no ledger": queries.compose("still_without_ledger"),
    "none": sql.SQL("true"),
}


@functools.lru_cache(maxsize=256)
def compose(
    documents: Documents,
    side: Side,
    metric: settings.Metric,
    proof: Proof,
    where: str | None,
    top_k: int,
    *,
    query_as_text: bool = False,
) -> sql.SQL:
    """Composed once and kept as text: composing costs more than a search does besides."""
    key = queries.identifier(documents.id)
    column = queries.identifier("n" if side.companion else "d", side.column)
    query: sql.Composable = sql.Placeholder("reembed_query")
    if query_as_text:
        query = sql.SQL("CAST({} AS text)").format(query)
    query = sql.SQL("CAST({} AS vector)").format(query)
    searched: sql.Composable = sql.SQL("")
    if side.companion:
        names = {
            "companion": queries.identifier(*filter(None, (documents.schema, side.companion))),
            "id": key,
        }
        searched = queries.compose("searched", names)
    composed = queries.compose(
        "search",
        {
            "table": queries.identifier(*filter(None, (documents.schema, documents.name))),
            "searched": searched,
            "id": key,
            "content": queries.identifier(documents.content),
            "column": column,
            "distance": distances.distance(column, query, metric, side.column_type, side.dimensions),
            "similarity": distances.full_similarity(column, query, metric, side.column_type),
            "unchanged": _PROOFS[proof],
            # Not bound: with a limit that it does not know, PostgreSQL plans each search anew
            "limit": sql.Literal(top_k),
            "filter": queries.compose("filter", {"where": _trusted(where)}) if where else sql.SQL("true"),
        },
    )
    return _trusted(composed.as_string())


def _trusted(text: str) -> sql.SQL:
    """As trustworthy as what it was composed from."""
    return sql.SQL(text)
