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


@dataclass(frozen=True)
class Bench:
    database: connection.Connection
    migration: Migration
    vectors: NDArray[np.float32]
    """(documents, DIMENSIONS), as a provider would give them."""


@contextmanager
def filled(documents: int) -> Iterator[Bench]:
    """A table of documents with old vectors, expanded, in one chunk."""
    with embedded.running() as stack, connection.connect(stack.postgres.url(), "benchmark") as database:
        database.execute("CREATE EXTENSION vector")
        binary.register(database)
        database.execute(
            "CREATE TABLE documents (id bigint PRIMARY KEY, content text, title text, embedding vector(768))"
        )
        vectors = np.random.default_rng(0).normal(size=(documents, DIMENSIONS)).astype(np.float32)
        with database.cursor().copy(
            "COPY documents (id, content, title, embedding) FROM STDIN (FORMAT BINARY)"
        ) as copy:
            copy.set_types(["int8", "text", "text", "vector"])
            for number, vector in enumerate(vectors):
                copy.write_row((number, f"{number} {FILLER}", "title", vector))
        database.execute("VACUUM ANALYZE documents")
        environment = {name.lower(): value for name, value in stack.environment("postgres").items()}
        settings = Settings.model_validate(environment | {"index_method": "none", "chunk_size": documents})
        migration = start.create(database, settings, checks.documents_table(database, settings))
        columns.expand(database, migration)
        chunks.plan(database, migration)
        ledger.change_state(database, migration, "backfilling")
        yield Bench(database, migration, vectors)
