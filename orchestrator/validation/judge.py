"""The judgement of a migration: integrity over every row, then old against new on a sample."""

import json
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np

from config.settings import Settings
from orchestrator.validation import comparison, identity, overlap
from orchestrator.validation.verdict import Mode, Verdict
from reembed import errors, settings
from reembed.database import documents, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding.provider import Provider


class NoQueries(errors.Usage):
    """The file {path} has no queries: {reason}.

    Write one query a line, or JSON objects with a `text` and, if you like, an `id`.
    """


Query = tuple[str, str]
"""Id and text."""


def judge(
    connection: Connection, environment: Settings, migration: Migration, asked: Sequence[Query] = ()
) -> Verdict:
    """Judge what stands in the table now, and store it for the gate.

    With queries, both models embed them, if the old one still answers; without, or if it does not, documents are the
    queries, by their stored vectors.
    """
    census = documents.census(connection, migration)
    size = max(environment.validation_sample, identity.SAMPLE)
    rows = comparison.sample(connection, migration, census.documents, size)
    mode, compared, notes = _compare(connection, environment, migration, rows, asked)
    verdict = Verdict(
        mode=mode,
        k=environment.validation_k,
        floor=environment.validation_overlap_floor,
        census=census,
        overlap=compared,
        identity=identity.check(
            [row.id for row in rows], _unit([row.old for row in rows]), _unit([row.new for row in rows])
        ),
        notes=notes,
    )
    ledger.save_validation(connection, migration.id, passed=verdict.passed, report=verdict.as_json())
    return verdict


def again(
    connection: Connection, environment: Settings, migration: Migration, queries_file: str | None
) -> Verdict:
    """Judge a migration that was judged before; the gate opens or closes by it. Raises ledger.WrongState, NoQueries."""
    if migration.state not in ("ready", "needs_review", "switched"):
        raise ledger.wrong_state(migration, "be judged")
    verdict = judge(connection, environment, migration, read_queries(queries_file) if queries_file else ())
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


def _compare(
    connection: Connection,
    environment: Settings,
    migration: Migration,
    rows: list[comparison.Row],
    asked: Sequence[Query],
) -> tuple[Mode, overlap.Overlap | None, tuple[str, ...]]:
    k, threshold = environment.validation_k, environment.validation_min_overlap
    columns = comparison.Columns(connection, migration, k)
    notes: tuple[str, ...] = ()
    if asked:
        old_model = environment.old_model(migration.old_dimensions) or migration.old_model
        try:
            vectors = _embed_both(environment, migration, old_model, [text for _, text in asked])
        except errors.ReembedError as error:
            notes = (f"the old model does not answer, so documents are the queries: {error}",)
        else:
            shared: dict[Hashable, float] = {
                query: overlap.overlap_at_k(*columns.by_query(old, new), k)
                for (query, _), old, new in zip(asked, *vectors, strict=True)
            }
            return "queries", overlap.Overlap.of(shared, threshold), notes
    shared = {
        row_id: overlap.overlap_at_k(old, new, k)
        for row_id, old, new in columns.by_document(rows[: environment.validation_sample])
    }
    return "documents", overlap.Overlap.of(shared, threshold) if shared else None, notes


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
