"""One worker process and a provider without latency, beside vecshift and beside what the server does alone.

.venv/bin/python -m benchmarks.speed [--rounds N] [--quick]
"""

from pathlib import Path

from benchmarks import figures, installation, provider, vecshift
from benchmarks.figures import Effort, Figure, Goal

# What `reembed` is given, beside its defaults
SETTINGS = {"CHUNK_SIZE": 20_000}


def server_alone(site: installation.Installation, count: int) -> float:
    """Documents a second with neither client nor wire: the limit for filling a column."""
    with site.documents(count) as database:
        site.execute(database, "ALTER TABLE documents ADD embedding_v2 vector(768)")
        return count / site.execute(database, "UPDATE documents SET embedding_v2 = embedding")


def ours(
    site: installation.Installation, base_url: str, count: int, host: Path | None = None
) -> installation.Run:
    with site.documents(count) as database:
        return site.backfill(base_url, database, SETTINGS, host=host)


def theirs(site: installation.Installation, base_url: str, count: int) -> installation.Run:
    peer = vecshift.installed()
    with site.documents(count) as database:
        return peer.backfill(site.url(database), base_url, site.stack.directory / f"vecshift-{database}")


def measure(site: installation.Installation, effort: Effort) -> list[Figure]:
    count = effort.documents(20_000, 4_000)
    limits: list[float] = []
    us: list[installation.Run] = []
    peer: list[installation.Run] = []
    with provider.running(site.stack.directory) as base_url:
        for _ in range(effort.rounds):
            us.append(ours(site, base_url, count))
            limits.append(server_alone(site, count))
            peer.append(theirs(site, base_url, count))
    pairs = list(zip(us, peer, limits, strict=True))
    return [
        Figure(
            "documents/s against vecshift 0.4.0",
            [a.rate / b.rate for a, b, _ in pairs],
            Goal(">=", 12),
            " x",
            1,
        ),
        Figure(
            "documents/s against the server's own UPDATE", [a.rate / c for a, _, c in pairs], Goal(">=", 0.30)
        ),
        Figure("client CPU of a document", [a.cpu_microseconds for a in us], Goal("<=", 60, " µs"), " µs", 0),
        Figure(
            "client CPU against vecshift's",
            [a.cpu_microseconds / b.cpu_microseconds for a, b, _ in pairs],
            Goal("<=", 0.1),
            digits=3,
        ),
        Figure("(documents/s, ours)", [a.rate for a in us], digits=0),
        Figure("(documents/s, vecshift)", [b.rate for b in peer], digits=0),
        Figure("(documents/s, the server alone)", limits, digits=0),
    ]


if __name__ == "__main__":
    figures.alone(measure, __doc__)
