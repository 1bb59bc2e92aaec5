"""Backfill, then index, as we do it, against the index first, as the playbook has it.

.venv/bin/python -m benchmarks.indexing [--rounds N] [--quick]

Both with the same worker, and with what the index takes in both. The larger the table, the more the order matters.
"""

from benchmarks import figures, installation, provider, speed
from benchmarks.figures import Effort, Figure, Goal


def index_after(site: installation.Installation, base_url: str, count: int) -> float:
    """Seconds."""
    with site.documents(count) as database:
        run = site.backfill(base_url, database, speed.SETTINGS)
        return run.seconds + site.execute(database, installation.NEW_INDEX)


def index_first(site: installation.Installation, base_url: str, count: int) -> float:
    """Seconds; building it takes none, as there is nothing in it yet."""
    with site.documents(count) as database:
        return site.backfill(base_url, database, speed.SETTINGS, indexed_first=True).seconds


def measure(site: installation.Installation, effort: Effort) -> list[Figure]:
    count = effort.documents(20_000, 4_000)
    ratios: list[float] = []
    with provider.running(site.stack.directory) as base_url:
        for _ in range(effort.rounds):
            after = index_after(site, base_url, count)
            ratios.append(index_first(site, base_url, count) / after)
    return [Figure("backfill and index, against the index first", ratios, Goal(">=", 5), " x", 1)]


if __name__ == "__main__":
    figures.alone(measure, __doc__)
