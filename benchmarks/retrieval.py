"""What searching through the flag costs, beside the same SELECT without us.

.venv/bin/python -m benchmarks.retrieval [--rounds N] [--quick]

Both on one connection in autocommit, in turns, search by search, with the query's vector ready: what the provider takes
is the same for both. The other one knows the column and sends numpy's array through pgvector's own types.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector

from benchmarks import figures, installation, table
from benchmarks.figures import Effort, Figure, Goal
from config.settings import Settings
from orchestrator import checks, start
from reembed.database import flags, ledger
from reembed.database import storage as vector_storage
from reembed.retrieval import Retriever
from reembed.retrieval.models import Choice

TOP_K = 10
_WARM_UP = 20
_PLAIN = """
SELECT id, content, 1 - (embedding <=> %(query)s) AS similarity
  FROM documents WHERE embedding IS NOT NULL ORDER BY embedding <=> %(query)s LIMIT %(limit)s
"""


class Ready:
    """A provider whose answer lies ready."""

    def __init__(self, vector: NDArray[np.float32]) -> None:
        self._vector = vector

    def of(self, choice: Choice) -> "Ready":
        return self

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self._vector

    def close(self) -> None:
        pass


def microseconds(search: Callable[[], object]) -> float:
    began = time.perf_counter()
    search()
    return (time.perf_counter() - began) * 1e6


def compare(database: str, url: str, settings: Settings, searches: int) -> tuple[float, float]:
    """Microseconds of a plain search and of ours: medians of so many, in turns."""
    vector = np.random.default_rng(1).normal(size=table.DIMENSIONS).astype(np.float32)
    with psycopg.connect(url, autocommit=True) as plain, psycopg.connect(url, autocommit=True) as connection:
        register_vector(plain)
        for each in (plain, connection):
            # Few documents, so that the index is built soon; still it is the index that is searched
            each.execute("SET enable_seqscan = off")
        with Retriever(settings) as retriever:
            retriever._searching.providers = Ready(vector)  # type: ignore[assignment]

            def without() -> object:
                return plain.execute(_PLAIN, {"query": vector, "limit": TOP_K}).fetchall()

            def ours() -> object:
                return retriever.search(connection, "anything", TOP_K)

            times: dict[Callable[[], object], list[float]] = {without: [], ours: []}
            for number in range(_WARM_UP + searches):
                # Neither is always the one that finds the pages warm
                for search in (without, ours) if number % 2 else (ours, without):
                    taken = microseconds(search)
                    if number >= _WARM_UP:
                        times[search].append(taken)
    return statistics.median(times[without]), statistics.median(times[ours])


def measure(site: installation.Installation, effort: Effort) -> list[Figure]:
    with site.documents(effort.documents(2_000, 1_000)) as name:
        url = site.url(name)
        environment = {key.lower(): value for key, value in site.stack.environment(name).items()}
        models = {"old_embed_model": "constant", "old_embed_dimensions": table.DIMENSIONS}
        settings = Settings.model_validate(environment | models)
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("CREATE INDEX ON documents USING hnsw (embedding vector_cosine_ops)")
            # A migration that is under way: there is a flag to read, and it says the old column
            migration = start.create(database, settings, checks.documents_table(database, settings))
            vector_storage.expand(database, migration)
            ledger.change_state(database, migration, "backfilling")
            flag = flags.read(database, "public", "documents")
            assert flag is not None
            assert flag.active().column == "embedding"
        found = [compare(name, url, settings, effort.documents(600, 300)) for _ in range(effort.rounds)]
    over = [ours - plain for plain, ours in found]
    return [
        Figure("a search through the flag, over the same SELECT", over, Goal("<=", 200, " µs"), " µs", 0),
        Figure("a search through the flag, against the same SELECT", [o / p for p, o in found], None, " x"),
        Figure("(a SELECT of 10 documents)", [plain for plain, _ in found], None, " µs", 0),
    ]


if __name__ == "__main__":
    figures.alone(measure, __doc__)
