"""The table before the migration: documents with the vectors of the old model, and an index on them.

It is made as awkward as real ones are: ids with gaps, some of them large, so that a plan that cut the range
of ids into equal parts would give very unequal chunks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg import sql

from orchestrator.demo import corpus

Embed = Callable[[list[str]], NDArray[np.float32]]
"""Texts to unit vectors, shape (texts, dimensions)."""

DOCUMENTS_PER_BATCH = 200

CREATE_TABLE = sql.SQL(
    "CREATE TABLE {table} (id bigint PRIMARY KEY, content text NOT NULL, embedding vector({dimensions}))"
)
COPY = sql.SQL("COPY {table} (id, content, embedding) FROM STDIN (FORMAT BINARY)")
# After the rows: an index that is there before them makes every insert pay for it
CREATE_INDEX = sql.SQL("CREATE INDEX ON {table} USING hnsw (embedding vector_cosine_ops)")
ANALYZE = sql.SQL("ANALYZE {table}")


def load(
    connection: psycopg.Connection,
    documents: Iterable[corpus.Document],
    embed: Embed,
    table: str = "documents",
    on_progress: Callable[[int], None] = lambda loaded: None,
) -> int:
    """Create the table, with pgvector if need be, and fill it. Returns the number of documents.

    `embed` is called outside of any transaction. `on_progress` gets the number of documents after each batch.
    """
    with connection.transaction():
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(connection)
    name = sql.Identifier(table)
    ids = sparse_ids()
    loaded = 0
    for batch in _batches(documents):
        vectors = embed([document.content for document in batch])
        with connection.transaction():
            if loaded == 0:
                connection.execute(CREATE_TABLE.format(table=name, dimensions=vectors.shape[1]))
            _copy(connection, name, list(islice(ids, len(batch))), batch, vectors)
        loaded += len(batch)
        on_progress(loaded)
    with connection.transaction():
        connection.execute(CREATE_INDEX.format(table=name))
        connection.execute(ANALYZE.format(table=name))
    return loaded


def sparse_ids() -> Iterator[int]:
    """1, 2, 6, 10, ...: steps of 1 to 5, and a gap of 100,000 after every 700 ids. The same each time."""
    current = 1
    for position in count(1):
        yield current
        current += 100_000 if position % 700 == 0 else 1 + (position * position - 1) % 5


def _copy(
    connection: psycopg.Connection,
    table: sql.Identifier,
    ids: Sequence[int],
    batch: Sequence[corpus.Document],
    vectors: NDArray[np.float32],
) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY.format(table=table)) as copy:
        copy.set_types(["int8", "text", "vector"])
        for row_id, document, vector in zip(ids, batch, vectors, strict=True):
            copy.write_row((row_id, document.content, vector))


def _batches(documents: Iterable[corpus.Document]) -> Iterator[list[corpus.Document]]:
    remaining = iter(documents)
    while batch := list(islice(remaining, DOCUMENTS_PER_BATCH)):
        yield batch
