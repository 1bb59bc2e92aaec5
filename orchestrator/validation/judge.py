"""The judgement of a migration: integrity over every row, then old against new on a sample."""

from collections.abc import Sequence

import numpy as np

from config.settings import Settings
from orchestrator.validation import again as again_check
from orchestrator.validation import against, asked, comparison, identity, index_search, judgements, sweep
from orchestrator.validation.against import Judged, Latency
from orchestrator.validation.asked import Query
from orchestrator.validation.index_recall import Curve
from orchestrator.validation.integrity import Integrity
from orchestrator.validation.verdict import Verdict
from reembed import errors
from reembed.database import catalog, chunks, documents, ledger, validations
from reembed.database.connection import Connection
from reembed.database.ledger import Migration


class NoneJudged(errors.Usage):
    """No query of {queries} is judged in {qrels}, so quality cannot be measured.

    The ids have to be the same in both files: `id` in a JSON object, the line's number in a plain file.
    """


def judge(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    queries: Sequence[Query] | None = None,
    judged: Judged | None = None,
    threshold: float | None = None,
    *,
    insist: bool = False,
) -> Verdict:
    """Judge what stands in the table now, and store it for the gate.

    Without `queries` those of VALIDATION_QUERIES_SQL are asked, where it is set. With queries, both models embed them,
    if the old one still answers; without, or if it does not, documents are the queries, by their stored vectors. With
    judgements of these queries, quality is measured too.

    Raises embedding.NoAnswer, against.NoOldModel where that would be a weaker judgement than is asked for, and stores
    none; who insists on the queries is not content with documents while the old model only has to be waited for.
    """
    began_at = validations.clock(connection)
    census = documents.census(connection, migration)
    # Beside few documents in all, few are many
    tolerable = min(chunks.tolerable(connection, migration.id), census.documents // 100)
    size = max(environment.validation_sample, identity.SAMPLE)
    widest = max(size, sweep.size(migration.old_dimensions, migration.new_model.dimensions))
    environment, notes = _without_lost_slices(connection, environment, migration)
    column = environment.validation_slice_column
    many = comparison.sample(connection, migration, census.documents, widest, column)
    rows = many[:size]
    if queries is None:
        try:
            queries = asked.from_log(connection, environment)
        except asked.NoLog as error:
            # The backfill does not wait for a mended setting
            queries, notes = [], (*notes, f"documents are the queries: {error}")
    compared = against.compare(
        connection, environment, migration, census.documents, rows, queries, judged or {}, threshold,
        insist=insist,
    )  # fmt: skip
    ids, old, new = (
        [row.id for row in many],
        _unit([row.old for row in many]),
        _unit([row.new for row in many]),
    )
    placed = identity.check(ids[:size], old[:size], new[:size])
    suspects = sweep.suspects(ids, old, new)
    embedded_again = again_check.check(connection, environment, migration, many, suspects)
    vectors = compared.old_vectors, compared.new_vectors
    index = index_search.measure(connection, migration, census.documents, *vectors, environment.validation_k)
    verdict = Verdict(
        mode=compared.mode,
        k=environment.validation_k,
        floor=environment.validation_overlap_floor,
        integrity=Integrity.of(census, documents.spread(connection, migration), rows, tolerable),
        again=embedded_again,
        overlap=compared.overlap,
        quality=compared.quality,
        shift=compared.shift,
        old_latency=_in_use(index.old if index else None) or compared.old_latency,
        new_latency=_in_use(index.new if index else None) or compared.new_latency,
        found=compared.found,
        slices=against.slices(connection, environment, migration, rows, compared),
        index=index,
        identity=placed,
        tokens={"old": compared.old_tokens, "new": compared.new_tokens + embedded_again.tokens},
        settings={name.upper(): value for name, value in environment if name.startswith("validation_")},
        notes=notes + compared.notes + ((embedded_again.note,) if embedded_again.note else ()),
        began_at=began_at,
    )
    validations.save(connection, migration.id, passed=verdict.passed, report=verdict.as_json())
    return verdict


def again(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    queries: Sequence[Query] = (),
    judged: Judged | None = None,
    threshold: float | None = None,
    *,
    insist: bool = False,
) -> Verdict:
    """Judge a migration that was judged before; the gate opens or closes by it.

    Raises ledger.WrongState, and as `judge`; then the gate is as it was.
    """
    if migration.state not in ("ready", "needs_review", "switched"):
        raise ledger.wrong_state(migration, "be judged")
    verdict = judge(connection, environment, migration, queries, judged, threshold, insist=insist)
    if migration.state not in (verdict.state, "switched"):
        ledger.change_state(connection, migration, verdict.state)
    return verdict


def judgements_of(queries: Sequence[Query], queries_file: str, qrels_file: str) -> Judged:
    """What was judged of these queries. Raises NoneJudged, judgements.NoJudgements."""
    ids = {query for query, _ in queries}
    judged = {query: grades for query, grades in judgements.read(qrels_file).items() if query in ids}
    if not judged:
        raise NoneJudged(queries=queries_file, qrels=qrels_file)
    return judged


def _in_use(curve: Curve | None) -> Latency | None:
    """Of a search as users have it. The comparison looks wider than they do, and for judged queries at every row."""
    return Latency(curve.used.median_ms, curve.used.p95_ms) if curve else None


def _without_lost_slices(
    connection: Connection, environment: Settings, migration: Migration
) -> tuple[Settings, tuple[str, ...]]:
    """A judgement does not wait for a column that is not there; it says so."""
    column = environment.validation_slice_column
    if column is None or column in catalog.column_names(connection, migration.table):
        return environment, ()
    note = f"no slices: {migration.table} has no column {column} (VALIDATION_SLICE_COLUMN)"
    return environment.model_copy(update={"validation_slice_column": None}), (note,)


def _unit(vectors: list[comparison.Vector]) -> identity.Rows:
    """Rows of unit length; none of them is zero."""
    matrix = np.asarray(vectors, dtype=np.float32)
    if matrix.size == 0:
        return matrix.reshape(0, 1)
    unit: identity.Rows = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit
