"""The judgement of a migration: integrity over every row, then old against new on a sample."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config.settings import Settings
from orchestrator.validation import again as again_check
from orchestrator.validation import comparison, identity, judgements, metrics, overlap, quality
from orchestrator.validation.integrity import Integrity
from orchestrator.validation.overlap import Overlap
from orchestrator.validation.quality import Quality
from orchestrator.validation.verdict import Mode, Verdict
from reembed import errors, settings
from reembed.database import chunks, documents, ledger, validations
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding.provider import Provider


class NoQueries(errors.Usage):
    """The file {path} has no queries: {reason}.

    Write one query a line, or JSON objects with a `text` and, if you like, an `id`.
    """


class NoneJudged(errors.Usage):
    """No query of {queries} is judged in {qrels}, so quality cannot be measured.

    The ids have to be the same in both files: `id` in a JSON object, the line's number in a plain file.
    """


# Up to here judged queries are searched for exactly, so that the index's luck is not taken for the model's merit
EXACT_DOCUMENTS = 200_000

Query = tuple[str, str]
"""Id and text."""
Judged = Mapping[str, metrics.Grades]
"""By query id."""


def judge(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    asked: Sequence[Query] = (),
    judged: Judged | None = None,
) -> Verdict:
    """Judge what stands in the table now, and store it for the gate.

    With queries, both models embed them, if the old one still answers; without, or if it does not, documents are the
    queries, by their stored vectors. With judgements of these queries, quality is measured too.
    """
    census = documents.census(connection, migration)
    # Beside few documents in all, few are many
    tolerable = min(chunks.tolerable(connection, migration.id), census.documents // 100)
    size = max(environment.validation_sample, identity.SAMPLE)
    rows = comparison.sample(connection, migration, census.documents, size)
    compared = _compare(connection, environment, migration, census.documents, rows, asked, judged or {})
    placed = identity.check(
        [row.id for row in rows], _unit([row.old for row in rows]), _unit([row.new for row in rows])
    )
    embedded_again = again_check.check(connection, environment, migration, rows, placed.failing_ids)
    verdict = Verdict(
        mode=compared.mode,
        k=environment.validation_k,
        floor=environment.validation_overlap_floor,
        integrity=Integrity.of(census, documents.spread(connection, migration), rows, tolerable),
        again=embedded_again,
        overlap=compared.overlap,
        quality=compared.quality,
        identity=placed,
        notes=compared.notes + ((embedded_again.note,) if embedded_again.note else ()),
    )
    validations.save(connection, migration.id, passed=verdict.passed, report=verdict.as_json())
    return verdict


def again(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    queries_file: str | None,
    qrels_file: str | None = None,
) -> Verdict:
    """Judge a migration that was judged before; the gate opens or closes by it.

    Raises ledger.WrongState, NoQueries, NoneJudged, judgements.NoJudgements.
    """
    if migration.state not in ("ready", "needs_review", "switched"):
        raise ledger.wrong_state(migration, "be judged")
    asked = read_queries(queries_file) if queries_file else []
    judged: dict[str, metrics.Grades] = {}
    if qrels_file:
        ids = {query for query, _ in asked}
        judged = {query: grades for query, grades in judgements.read(qrels_file).items() if query in ids}
        if not judged:
            raise NoneJudged(queries=queries_file, qrels=qrels_file)
    verdict = judge(connection, environment, migration, asked, judged)
    if migration.state not in (verdict.state, "switched"):
        ledger.change_state(connection, migration, verdict.state)
    return verdict


def read_queries(path: str) -> list[Query]:
    """Queries from a file of plain lines, named by their line number, or of JSON objects. Raises NoQueries."""
    found: list[Query] = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if line.lstrip().startswith("{"):
                query = json.loads(line)
                found.append((str(query.get("id", query.get("_id", number))), str(query["text"])))
            elif line.strip():
                found.append((str(number), line.strip()))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError) as error:
        raise NoQueries(
            path=path, reason=f"line {len(found) + 1} cannot be read ({type(error).__name__})"
        ) from None
    if not found:
        raise NoQueries(path=path, reason="it is empty")
    return found


@dataclass(frozen=True)
class _Compared:
    mode: Mode
    overlap: Overlap | None
    quality: Quality | None = None
    notes: tuple[str, ...] = ()


def _compare(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    documents: int,
    rows: list[comparison.Row],
    asked: Sequence[Query],
    judged: Judged,
) -> _Compared:
    """Old against new: by the queries where there are any and both models answer, else by documents."""
    k, threshold = environment.validation_k, environment.validation_min_overlap
    notes: tuple[str, ...] = ()
    if asked:
        old_model = environment.old_model(migration.old_dimensions) or migration.old_model
        try:
            vectors = _embed_both(environment, migration, old_model, [text for _, text in asked])
        except errors.ReembedError as error:
            notes = (f"the old model does not answer, so documents are the queries: {error}",)
        else:
            depth = max(k, quality.DEPTH) if judged else k
            columns = comparison.Columns(connection, migration, depth)
            exact = documents <= EXACT_DOCUMENTS
            if judged and not exact:
                notes = (f"more than {EXACT_DOCUMENTS:,} documents, so quality is that of the index, too",)
            found = {
                query: columns.by_query(old, new, exact=bool(judged) and exact)
                for (query, _), old, new in zip(asked, *vectors, strict=True)
            }
            shared: dict[Hashable, float] = {
                query: overlap.overlap_at_k(old, new, k) for query, (old, new) in found.items()
            }
            measured = (
                Quality.of(
                    {query: old for query, (old, _) in found.items()},
                    {query: new for query, (_, new) in found.items()},
                    judged,
                    environment.validation_margin,
                )
                if judged
                else None
            )
            return _Compared("queries", Overlap.of(shared, threshold), measured, notes)
    columns = comparison.Columns(connection, migration, k)
    shared = {
        row_id: overlap.overlap_at_k(old, new, k)
        for row_id, old, new in columns.by_document(rows[: environment.validation_sample])
    }
    return _Compared("documents", Overlap.of(shared, threshold) if shared else None, notes=notes)


def _embed_both(
    environment: Settings, migration: Migration, old_model: settings.Model | None, texts: list[str]
) -> tuple[list[comparison.Vector], list[comparison.Vector]]:
    """The texts as queries by the old and by the new model. Raises errors.ReembedError where one does not answer."""
    if old_model is None:
        raise errors.Usage(reason="OLD_EMBED_MODEL is not set")
    sides = ((environment.old_endpoint, old_model), (environment.new_endpoint, migration.new_model))
    embedded = []
    for endpoint, model in sides:
        with Provider(endpoint, model, timeout_seconds=environment.provider_timeout_seconds) as provider:
            embedded.append([provider.embed_query(text) for text in texts])
    return embedded[0], embedded[1]


def _unit(vectors: list[comparison.Vector]) -> identity.Rows:
    """Rows of unit length; none of them is zero."""
    matrix = np.asarray(vectors, dtype=np.float32)
    if matrix.size == 0:
        return matrix.reshape(0, 1)
    unit: identity.Rows = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit
