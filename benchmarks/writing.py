"""How fast batches are written: ours, beside one UPDATE a row and beside what the server does alone.

.venv/bin/python -m benchmarks.writing [DOCUMENTS]
"""

import sys
import time
from collections.abc import Callable

from benchmarks import table
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


def main(count: int) -> None:
    rates: dict[str, float] = {}
    ways: tuple[Callable[[table.Bench], None], ...] = (server_alone, ours, one_update_a_row)
    for way in ways:
        # A table of its own: what an UPDATE leaves behind slows the next one
        with table.filled(count) as bench:
            began = time.perf_counter()
            way(bench)
            rates[way.__name__] = count / (time.perf_counter() - began)
    print(f"{count:,} documents, {table.DIMENSIONS} dimensions, batches of {BATCH}")
    for name, rate in rates.items():
        share = rate / rates["server_alone"]
        print(f"{name.replace('_', ' '):<18}{rate:>8,.0f} documents/s{share:>7.2f} of the server alone")
    print(f"ours is {rates['ours'] / rates['one_update_a_row']:.1f} x one update a row")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
