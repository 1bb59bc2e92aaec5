"""A table to measure on, and a migration of it, without any worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from orchestrator import checks, start
from orchestrator.embedded import stack as embedded
from reembed.database import binary, chunks, connection, ledger
from reembed.database import storage as vector_storage
from reembed.database.ledger import Migration
from reembed.database.table import Storage

DIMENSIONS = 768
FILLER = "words " * 132
CHARACTERS = len(FILLER)
# Vectors in memory at once while a table is filled
_AT_ONCE = 20_000


@dataclass(frozen=True)
class Bench:
    database: connection.Connection
    migration: Migration
    vectors: NDArray[np.float32]
    """(documents, DIMENSIONS), as a provider would give them."""


def fill(database: connection.Connection, documents: int) -> NDArray[np.float32]:
    """Documents with old vectors, all texts different; returns the last 20,000 of the vectors, or all of fewer."""
    database.execute("CREATE EXTENSION vector")
    binary.register(database)
    database.execute(
        "CREATE TABLE documents (id bigint PRIMARY KEY, content text, title text, embedding vector(768))"
    )
    chance = np.random.default_rng(0)
    with database.cursor().copy(
        "COPY documents (id, content, title, embedding) FROM STDIN (FORMAT BINARY)"
    ) as copy:
        copy.set_types(["int8", "text", "text", "vector"])
        for first in range(0, documents, _AT_ONCE):
            count = min(_AT_ONCE, documents - first)
            vectors = chance.normal(size=(count, DIMENSIONS)).astype(np.float32)
            for number, vector in enumerate(vectors, first):
                copy.write_row((number, f"{number} {FILLER}", "title", vector))
    database.execute("VACUUM ANALYZE documents")
    return vectors


@contextmanager
def filled(documents: int, *, storage: Storage = "column", old_index: bool = False) -> Iterator[Bench]:
    """A table of documents with old vectors, with an HNSW index on them if wanted, expanded, in one chunk."""
    with embedded.running() as stack, connection.connect(stack.postgres.url(), "benchmark") as database:
        # Of more than are kept, the same come again
        vectors = np.resize(fill(database, documents), (documents, DIMENSIONS))
        if old_index:
            database.execute("SET maintenance_work_mem = '1GB'")
            database.execute("CREATE INDEX ON documents USING hnsw (embedding vector_cosine_ops)")
        environment = {name.lower(): value for name, value in stack.environment("postgres").items()}
        settings = Settings.model_validate(
            environment | {"index_method": "none", "chunk_size": documents, "storage": storage}
        )
        migration = start.create(database, settings, checks.documents_table(database, settings))
        vector_storage.expand(database, migration)
        chunks.plan(database, migration)
        ledger.change_state(database, migration, "backfilling")
        yield Bench(database, migration, vectors)
