"""What a companion is for: the write path of both storages, while the old column has an HNSW index; and the way home.

.venv/bin/python -m benchmarks.companion [--quick]
"""

import time
from typing import get_args

from benchmarks import figures, installation, table, writing
from orchestrator import homecoming
from reembed.database import ledger, tuning
from reembed.database.table import Storage


def bring_home(bench: table.Bench) -> None:
    """What `cleanup` does, without the index that it builds."""
    migration = bench.migration
    for state in ("indexing", "validating", "ready", "switched"):
        ledger.change_state(bench.database, ledger.get(bench.database, migration.id), state)
    switched = ledger.get(bench.database, migration.id)
    homecoming.bring_home(bench.database, switched, (), tuning.BY_SIZE, lambda line: None)


def measure(_: installation.Installation, effort: figures.Effort) -> list[figures.Figure]:
    """One round: the column takes its minutes, and the ratio is far from its goal."""
    count = effort.documents(50_000, 4_000)
    rates: dict[str, float] = {}
    for storage in get_args(Storage):
        # A table of its own: what an UPDATE leaves behind slows the next one
        with table.filled(count, storage=storage, old_index=True) as bench:
            began = time.perf_counter()
            writing.ours(bench)
            rates[storage] = count / (time.perf_counter() - began)
            if storage == "companion":
                began = time.perf_counter()
                bring_home(bench)
                rates["home"] = count / (time.perf_counter() - began)
    return [
        figures.Figure(
            "HNSW on the old column: writing to a companion against writing to the table",
            [rates["companion"] / rates["column"]],
            figures.Goal(">=", 8, " x"),
            " x",
            1,
        ),
        figures.Figure("(documents/s, the table)", [rates["column"]], digits=0),
        figures.Figure("(documents/s, the companion)", [rates["companion"]], digits=0),
        figures.Figure(
            "(documents/s, coming home in `cleanup`, without the index)", [rates["home"]], digits=0
        ),
    ]


if __name__ == "__main__":
    figures.alone(measure, __doc__)
