"""A provider that takes 500 ms: how much of the ideal one process reaches, and how it grows with processes.

.venv/bin/python -m benchmarks.latency [--rounds N] [--quick]

The ideal of one process is 32 requests in flight that never wait for us. Batches are small, so that the rate stays
below what two cores carry: what is measured is waiting, not computing.
"""

from benchmarks import figures, installation, provider
from benchmarks.figures import Effort, Figure, Goal

LATENCY_MS = 500
IN_FLIGHT = 32
BATCH = 32
# Of the processes: eight of them, and all servers, share two cores
PROCESSES = (1, 2, 4, 8)
SMALL_BATCH = 16
FEW_IN_FLIGHT = 8
CHUNK = 640


def share_of_ideal(site: installation.Installation, base_url: str, count: int) -> float:
    with site.documents(count) as database:
        settings = {"CHUNK_SIZE": count, "EMBED_BATCH_SIZE": BATCH, "EMBED_CONCURRENCY": IN_FLIGHT}
        run = site.backfill(base_url, database, settings)
    return run.rate / (IN_FLIGHT * BATCH / (LATENCY_MS / 1_000))


def small_chunks(site: installation.Installation, base_url: str, count: int) -> float:
    """As the defaults have it for a small table: chunks of a single request."""
    with site.documents(count) as database:
        settings = {"CHUNK_SIZE": BATCH, "EMBED_BATCH_SIZE": BATCH, "EMBED_CONCURRENCY": FEW_IN_FLIGHT}
        run = site.backfill(base_url, database, settings)
    return run.rate / (FEW_IN_FLIGHT * BATCH / (LATENCY_MS / 1_000))


def rate(site: installation.Installation, base_url: str, count: int, workers: int) -> float:
    """With so many documents for each process, in chunks of the same size."""
    with site.documents(count * workers) as database:
        settings = {"CHUNK_SIZE": CHUNK, "EMBED_BATCH_SIZE": SMALL_BATCH, "EMBED_CONCURRENCY": FEW_IN_FLIGHT}
        run = site.backfill(base_url, database, settings, workers=workers)
    return run.rate


def measure(site: installation.Installation, effort: Effort) -> list[Figure]:
    shares: list[float] = []
    small: list[float] = []
    rates: dict[int, list[float]] = {workers: [] for workers in PROCESSES}
    with provider.running(site.stack.directory, LATENCY_MS) as base_url:
        for _ in range(effort.rounds):
            shares.append(share_of_ideal(site, base_url, effort.documents(61_440, 4_096)))
            small.append(small_chunks(site, base_url, effort.documents(4_096, 1_024)))
            for workers in PROCESSES:
                rates[workers].append(rate(site, base_url, effort.documents(3_840, 1_280), workers))
    found = [
        Figure(f"provider of 500 ms, {IN_FLIGHT} in flight: share of the ideal", shares, Goal(">=", 0.95)),
        Figure("provider of 500 ms, chunks of one request: share of the ideal", small, Goal(">=", 0.8)),
    ]
    for workers in PROCESSES[1:]:
        efficiency = [many / (workers * one) for many, one in zip(rates[workers], rates[1], strict=True)]
        goal = Goal(">=", 0.95) if workers == max(PROCESSES) else None
        found.append(Figure(f"provider of 500 ms, {workers} processes: efficiency", efficiency, goal))
    return found


if __name__ == "__main__":
    figures.alone(measure, __doc__)
