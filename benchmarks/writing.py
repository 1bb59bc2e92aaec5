"""How fast batches are written: ours, beside one UPDATE a row and beside what the server does alone.

.venv/bin/python -m benchmarks.writing [--rounds N] [--quick]
"""

import time
from collections.abc import Callable

from benchmarks import figures, installation, table
from reembed.database import chunks, documents

BATCH = 500


def server_alone(bench: table.Bench) -> None:
    """The limit: no client, no wire."""
    bench.database.execute("UPDATE documents SET embedding_v2 = embedding")


def ours(bench: table.Bench) -> None:
    """Fetch and write as a worker does, with hash, fence and progress, without the provider."""
    claim = chunks.claim(
        bench.database, bench.migration.id, 1, owner="benchmark", lease_seconds=600, max_strikes=9
    )
    assert claim is not None
    after, done = None, 0
    while page := documents.fetch_batch(bench.database, bench.migration, claim, after=after, limit=BATCH):
        documents.write_batch(
            bench.database, bench.migration, claim, page, bench.vectors[done : done + len(page)], {},
            tokens=0, lease_seconds=600,
        )  # fmt: skip
        after, done = page[-1].id, done + len(page)


def one_update_a_row(bench: table.Bench) -> None:
    """What a script does, at its best: binary, pipelined, a commit each BATCH."""
    with bench.database.cursor() as cursor:
        for first in range(0, len(bench.vectors), BATCH):
            with bench.database.transaction():
                for number in range(first, min(first + BATCH, len(bench.vectors))):
                    cursor.execute(
                        "UPDATE documents SET embedding_v2 = %b WHERE id = %b",
                        (bench.vectors[number], number),
                    )


def measure(_: installation.Installation, effort: figures.Effort) -> list[figures.Figure]:
    count = effort.documents(20_000, 4_000)
    ways: tuple[Callable[[table.Bench], None], ...] = (server_alone, ours, one_update_a_row)
    rates: dict[Callable[[table.Bench], None], list[float]] = {way: [] for way in ways}
    for _round in range(effort.rounds):
        for way in ways:
            # A table of its own: what an UPDATE leaves behind slows the next one
            with table.filled(count) as bench:
                began = time.perf_counter()
                way(bench)
                rates[way].append(count / (time.perf_counter() - began))
    return [
        figures.Figure(name, [a / b for a, b in zip(rates[one], rates[other], strict=True)], unit=" x")
        for name, one, other in (
            ("reading and writing without a provider, against the server's own UPDATE", ours, server_alone),
            ("the same against one UPDATE a row, binary and pipelined", ours, one_update_a_row),
        )
    ]


if __name__ == "__main__":
    figures.alone(measure, __doc__)
