"""Ten times the documents: the worker's memory stays as it is, and a document takes as long.

.venv/bin/python -m benchmarks.growth [--rounds N] [--quick]

"""

from benchmarks import figures, installation, provider, speed
from benchmarks.figures import Effort, Figure, Goal


def measure(site: installation.Installation, effort: Effort) -> list[Figure]:
    few, many = effort.documents(20_000, 4_000), effort.documents(200_000, 20_000)
    small: list[installation.Run] = []
    large: list[installation.Run] = []
    with provider.running(site.stack.directory) as base_url:
        for _ in range(effort.rounds):
            small.append(speed.ours(site, base_url, few))
            large.append(speed.ours(site, base_url, many))
    pairs = list(zip(small, large, strict=True))
    return [
        Figure(
            f"peak memory of the worker, {many:,} documents against {few:,}",
            [b.peak_bytes / a.peak_bytes for a, b in pairs],
            Goal("<=", 1.1),
        ),
        Figure(
            f"seconds a document, {many:,} against {few:,}",
            [a.rate / b.rate for a, b in pairs],
            Goal("<=", 1.25),
        ),
        Figure("(peak memory, MB)", [b.peak_bytes / 2**20 for b in large], digits=0),
    ]


if __name__ == "__main__":
    figures.alone(measure, __doc__)
