"""The user's table, read and written in batches."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from reembed.database import binary, queries
from reembed.database.chunks import Claim
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.database.table import Table


@dataclass(frozen=True)
class Document:
    id: Any
    """int, uuid.UUID or str, as the key's type has it."""
    content: str
    content_hash: uuid.UUID
    """md5 of the content in the database's encoding: what a vector is proved fresh by."""


@dataclass(frozen=True)
class TooLong:
    """What was done to a text that is longer than the model takes."""

    treatment: Literal["truncated", "averaged"]
    tokens: int
    """Of the whole text, as they were counted."""


@dataclass(frozen=True)
class Census:
    """The whole table by what stands beside each document."""

    documents: int
    without_text: int
    pending: int
    embedded: int
    stale: int
    invalid: int


@dataclass(frozen=True)
class Spread:
    """The fresh vectors of the new column as a whole."""

    norm_mean: float
    norm_deviation: float
    variance: NDArray[np.float64]
    """(dimensions,), of each dimension; empty where there is no vector. Rounded: a constant one is not quite 0."""
    copied: int
    """Rows whose new vector is their old one."""
    shared: int
    """Rows whose new vector is that of another text, too."""


_NONE: Mapping[Any, Any] = {}
_MOMENTS = ("mean", "mean_square")


@dataclass(frozen=True)
class OldPending:
    """Documents with text that the old column does not do justice to, such as those written after the switch."""

    hidden: int
    """Without an old vector: a search of the old column does not find them."""
    stale: int
    """With one of an earlier text."""


def fetch_batch(
    connection: Connection, migration: Migration, claim: Claim, *, after: Any | None, limit: int
) -> list[Document]:
    """The next pending documents of the chunk with keys above `after` (None: from its beginning), in key order."""
    operator = sql.SQL(">=" if after is None else ">")
    rows = queries.run(
        connection, "fetch_batch", {**migration.names_of(claim.side), "from_operator": operator},
        from_id=claim.first_id if after is None else str(after), last_id=claim.last_id, limit=limit,
    )  # fmt: skip
    return [Document(**row) for row in rows]


def write_batch(
    connection: Connection,
    migration: Migration,
    claim: Claim,
    documents: Sequence[Document],
    vectors: NDArray[np.float32],
    refused: Mapping[Document, str],
    *,
    tokens: int,
    lease_seconds: float,
    too_long: Mapping[Document, TooLong] = _NONE,
) -> int:
    """Commit one batch, to the column that the chunk is for: vectors, refusals and the chunk's progress.

    `vectors` has shape (len(documents), dimensions); `refused` has the provider's words for each; `too_long` is of
    documents here or elsewhere. Returns how many documents got their vector: one whose text changed meanwhile does not.
    Raises LeaseLost.
    """
    treated = (
        [(document, too_long[document]) for document in documents if document in too_long] if too_long else []
    )
    row = queries.one(
        connection, "write_batch", migration.names_of(claim.side),
        number=claim.number, attempt=claim.attempt, tokens=tokens, lease_seconds=lease_seconds,
        ids=[document.id for document in documents],
        hashes=[document.content_hash for document in documents],
        vectors=binary.Vectors(vectors),
        refused_ids=[str(document.id) for document in refused],
        refused_hashes=[document.content_hash for document in refused],
        refused_reasons=list(refused.values()),
        long_ids=[str(document.id) for document, _ in treated],
        long_hashes=[document.content_hash for document, _ in treated],
        long_treatments=[done.treatment for _, done in treated],
        long_tokens=[done.tokens for _, done in treated],
    )  # fmt: skip
    if not row["held"]:
        raise claim.lost
    return int(row["written"])


def not_kept(
    connection: Connection, migration: Migration, claim: Claim, written: Sequence[Document]
) -> list[Document]:
    """Those among the documents of a batch that have no vector, though their text is still the one it was of.

    One that was changed or deleted meanwhile is not among them.
    """
    rows = queries.run(
        connection, "not_kept", migration.names_of(claim.side),
        ids=[document.id for document in written], hashes=[document.content_hash for document in written],
    )  # fmt: skip
    without = {row["id"] for row in rows}
    return [document for document in written if document.id in without]


def fresh_vectors(
    connection: Connection, migration: Migration, wanted: Mapping[uuid.UUID, Any]
) -> dict[uuid.UUID, NDArray[np.float32]]:
    """New vectors by the hash of the text that they are of. `wanted` names a document for each hash.

    Of a document whose vector is of another text there is none.
    """
    rows = queries.run(
        connection, "fresh_vectors", migration.names, hashes=list(wanted), ids=list(wanted.values())
    )
    return {row["content_hash"]: row["vector"] for row in rows}


def census(connection: Connection, migration: Migration) -> Census:
    """One scan over every row."""
    return Census(**queries.one(connection, "count_documents", migration.names))


def spread(connection: Connection, migration: Migration) -> Spread:
    """Two scans over every row."""
    row = queries.one(connection, "spread", migration.names)
    mean, mean_square = (
        np.asarray(row[name] if row[name] is not None else [], np.float64) for name in _MOMENTS
    )
    return Spread(
        norm_mean=row["norm_mean"] or 0.0,
        norm_deviation=row["norm_deviation"] or 0.0,
        variance=mean_square - mean**2,
        copied=row["copied"],
        shared=queries.one(connection, "count_shared", migration.names)["shared"],
    )


def texts(connection: Connection, migration: Migration, ids: Sequence[str]) -> dict[str, str]:
    """The texts of fresh documents by their keys, as text; of those among `ids` that are still fresh."""
    rows = queries.run(connection, "texts_of", migration.names, ids=list(ids))
    return {row["id"]: row["content"] for row in rows}


def old_sample(connection: Connection, table: Table, limit: int) -> list[tuple[str, NDArray[np.float32]]]:
    """A few short texts, each with its old vector."""
    rows = queries.run(connection, "old_sample", table.names, limit=limit)
    return [(row["content"], row["old"]) for row in rows]


def lock(connection: Connection, migration: Migration) -> None:
    """Nobody else reads or writes the table until this transaction ends."""
    queries.run(connection, "lock_table", migration.names)


def mark_pending(connection: Connection, migration: Migration) -> int:
    """Make pending what a census would find stale or invalid; how many. A scan over every row."""
    query = "companion_mark_pending" if migration.table.companion else "mark_pending"
    return queries.run(connection, query, migration.names).rowcount


def mark_wrong(connection: Connection, migration: Migration, ids: Sequence[str]) -> int:
    """Make pending the chunks that these documents are in, given their keys as text; how many documents."""
    vectors = queries.identifier(migration.table.schema, migration.table.vectors)
    return queries.run(
        connection, "mark_wrong", {**migration.names, "vectors": vectors}, ids=list(ids)
    ).rowcount


def count_pending(connection: Connection, migration: Migration) -> int:
    return int(queries.one(connection, "count_pending", migration.names)["pending"])


def count_old_pending(connection: Connection, migration: Migration) -> OldPending:
    return OldPending(**queries.one(connection, "count_old_pending", migration.names))


def count_all(connection: Connection, migration: Migration) -> int:
    return int(queries.one(connection, "count_all", migration.names)["documents"])


def mean_tokens(
    connection: Connection, migration: Migration, count: int, *, sample: int, estimate: Callable[[str], int]
) -> float:
    """Mean of `estimate` over about `sample` texts; 0 where there is none."""
    percent = min(100.0, max(100 * 2 * sample / max(count, 1), 0.01))
    rows = queries.run(
        connection, "sample_texts", {**migration.names, "percent": sql.Literal(percent)}, limit=sample
    ).fetchall()
    return sum(estimate(row["content"]) for row in rows) / len(rows) if rows else 0.0
