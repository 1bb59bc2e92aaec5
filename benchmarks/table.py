"""A table to measure on, and a migration of it, without any worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from orchestrator import checks, start
from orchestrator.embedded import stack as embedded
from reembed.database import binary, chunks, columns, connection, ledger
from reembed.database.ledger import Migration

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
def filled(documents: int) -> Iterator[Bench]:
    """A table of documents with old vectors, expanded, in one chunk. At most 20,000."""
    with embedded.running() as stack, connection.connect(stack.postgres.url(), "benchmark") as database:
        vectors = fill(database, documents)
        environment = {name.lower(): value for name, value in stack.environment("postgres").items()}
        settings = Settings.model_validate(environment | {"index_method": "none", "chunk_size": documents})
        migration = start.create(database, settings, checks.documents_table(database, settings))
        columns.expand(database, migration)
        chunks.plan(database, migration)
        ledger.change_state(database, migration, "backfilling")
        yield Bench(database, migration, vectors)
