"""Old against new: the same queries put to both columns, and what came of it."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from config.settings import Settings
from orchestrator.validation import comparison, embedding, metrics, quality
from orchestrator.validation.asked import Query
from orchestrator.validation.comparison import Ranking
from orchestrator.validation.embedding import Answer, NoAnswer
from orchestrator.validation.index_search import Asked
from orchestrator.validation.overlap import Overlap
from orchestrator.validation.quality import Quality
from orchestrator.validation.shift import Shift
from orchestrator.validation.slices import Slices
from reembed import errors
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.retrieval import rankings

Mode = Literal["queries", "documents"]
Judged = Mapping[str, metrics.Grades]
"""By query id."""

# Up to here judged queries are searched for exactly, so that the index's luck is not taken for the model's merit
EXACT_DOCUMENTS = 200_000


class NoOldModel(errors.Usage):
    """Quality is measured by both models, and the old one is not named.

    Set OLD_EMBED_MODEL, or leave out --qrels.
    """


@dataclass(frozen=True)
class Latency:
    """Of the searches themselves, in milliseconds: from the statement to its rows, the query embedded already."""

    median: float
    p95: float

    @classmethod
    def of(cls, rankings: Sequence[Ranking]) -> "Latency | None":
        if not rankings:
            return None
        median, p95 = np.percentile([1_000 * ranking.seconds for ranking in rankings], [50, 95])
        return cls(float(median), float(p95))

    def as_json(self) -> dict[str, float]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Against:
    mode: Mode
    """Real queries through both models, or documents as queries."""
    found: Mapping[str, tuple[Ranking, Ranking]] = field(default_factory=dict)
    """By query or document: nearest by the old column, nearest by the new one."""
    overlap: Overlap | None = None
    """None where no document has both vectors."""
    shift: Shift | None = None
    old_latency: Latency | None = None
    new_latency: Latency | None = None
    quality: Quality | None = None
    old_vectors: Sequence[Asked] = ()
    new_vectors: Sequence[Asked] = ()
    """Of the queries, by both models."""
    old_tokens: int = 0
    new_tokens: int = 0
    """Billed for them."""
    notes: tuple[str, ...] = ()


def compare(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    documents: int,
    rows: list[comparison.Row],
    asked: Sequence[Query],
    judged: Judged,
    threshold: float | None = None,
    *,
    insist: bool = False,
) -> Against:
    """By the queries where there are any and both models answer, else by documents.

    `threshold` is a similarity that an application asks of its results. Who insists on the queries, or has judgements
    of them, wants no other judgement instead. Raises
    - embedding.NoAnswer where the new model does not answer now; with `insist` also where the old one does not now, and
      with `judged` where one of them does not at all,
    - NoOldModel with `judged` where there is none to ask.
    """
    if not asked:
        return _by_documents(connection, environment, migration, rows, threshold, ())
    answers = _embed_both(environment, migration, [text for _, text in asked], bool(judged), insist)
    if isinstance(answers, str):
        return _by_documents(connection, environment, migration, rows, threshold, (answers,))
    vectors = [answer.vectors for answer in answers]
    depth = max(environment.validation_k, quality.DEPTH) if judged else environment.validation_k
    columns = comparison.Columns(connection, migration, depth)
    exact = bool(judged) and documents <= EXACT_DOCUMENTS
    notes: tuple[str, ...] = ()
    if judged and not exact:
        notes = (f"more than {EXACT_DOCUMENTS:,} documents, so quality is that of the index, too",)
    found = {
        query: columns.by_query(old, new, exact=exact)
        for (query, _), old, new in zip(asked, *vectors, strict=True)
    }
    measured = None
    if judged:
        measured = Quality.of(
            {query: old.ids for query, (old, _) in found.items()},
            {query: new.ids for query, (_, new) in found.items()},
            judged,
            environment.validation_margin,
        )
    old, new = ([(None, one) for one in side] for side in vectors)
    old_tokens, new_tokens = (answer.tokens for answer in answers)
    summed = _sum_up("queries", found, environment, threshold, measured, notes)
    return dataclasses.replace(
        summed, old_vectors=old, new_vectors=new, old_tokens=old_tokens, new_tokens=new_tokens
    )


def slices(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    rows: list[comparison.Row],
    compared: Against,
) -> Slices | None:
    """With the sampled documents as queries, whatever the comparison asked. None without VALIDATION_SLICE_COLUMN."""
    column = environment.validation_slice_column
    if column is None:
        return None
    found = compared.found
    if compared.mode != "documents":
        columns = comparison.Columns(connection, migration, environment.validation_k)
        found = dict(columns.by_document(rows[: environment.validation_sample]))
    overlaps = {
        document: rankings.overlap_at_k(old.ids, new.ids, environment.validation_k)
        for document, (old, new) in found.items()
    }
    return Slices.of(column, {row.id: row.slice for row in rows}, overlaps)


def _by_documents(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    rows: list[comparison.Row],
    threshold: float | None,
    notes: tuple[str, ...],
) -> Against:
    columns = comparison.Columns(connection, migration, environment.validation_k)
    found = dict(columns.by_document(rows[: environment.validation_sample]))
    summed = _sum_up("documents", found, environment, threshold, None, notes)
    return dataclasses.replace(
        summed,
        old_vectors=[(row.id, row.old) for row in rows],
        new_vectors=[(row.id, row.new) for row in rows],
    )


def _sum_up(
    mode: Mode,
    found: Mapping[str, tuple[Ranking, Ranking]],
    environment: Settings,
    threshold: float | None,
    measured: Quality | None,
    notes: tuple[str, ...],
) -> Against:
    k = environment.validation_k
    first = {query: (old.first(k), new.first(k)) for query, (old, new) in found.items()}
    shared: dict[Hashable, float] = {
        query: rankings.overlap_at_k(old.ids, new.ids, k) for query, (old, new) in first.items()
    }
    old, new = [old for old, _ in first.values()], [new for _, new in first.values()]
    return Against(
        mode=mode,
        found=first,
        overlap=Overlap.of(shared, environment.validation_min_overlap) if shared else None,
        shift=Shift.of([one.similarities for one in old], [one.similarities for one in new], threshold),
        old_latency=Latency.of(old),
        new_latency=Latency.of(new),
        quality=measured,
        notes=notes,
    )


def _embed_both(
    environment: Settings, migration: Migration, texts: Sequence[str], judged: bool, insist: bool
) -> tuple[Answer, Answer] | str:
    """The texts as queries by the old and by the new model, or why documents are the queries instead.

    Raises as `compare`.
    """
    old_model = environment.old_model(migration.old_dimensions) or migration.old_model
    if old_model is None:
        if judged:
            raise NoOldModel
        return "the old model is not known, so documents are the queries: OLD_EMBED_MODEL is not set"
    answers: list[Answer] = []
    for side, model in zip(comparison.SIDES, (old_model, migration.new_model), strict=True):
        try:
            answers.append(embedding.queries(environment, side, model, texts))
        except NoAnswer as error:
            # Nobody knows how a model that is gone answers, and a backfill does not wait for the old one
            if side == "new" or judged or insist:
                raise
            reason = error.fields["reason"]
            return f"the old model does not answer, so documents are the queries: {reason}"
        except errors.ReembedError as error:
            if judged:
                raise embedding.no_answer(side, model, error) from error
            return f"the {side} model does not answer, so documents are the queries: {error}"
    old, new = answers
    return old, new
