"""A database that is 1 or 5 ms away: documents a second against the unix socket.

.venv/bin/python -m benchmarks.faraway [--rounds N] [--quick]

The added time is a round trip's. At 0 ms stands what the proxy itself costs.
"""

from benchmarks import distance, figures, installation, provider, speed
from benchmarks.figures import Effort, Figure, Goal

ROUND_TRIPS_MS = (0, 1, 5)


def measure(site: installation.Installation, effort: Effort) -> list[Figure]:
    count = effort.documents(20_000, 4_000)
    directory = site.stack.directory
    near: list[float] = []
    far: dict[int, list[float]] = {added: [] for added in ROUND_TRIPS_MS}
    with provider.running(directory) as base_url:
        for _ in range(effort.rounds):
            near.append(speed.ours(site, base_url, count).rate)
            for added in ROUND_TRIPS_MS:
                with distance.to(site.socket, directory, added) as host:
                    far[added].append(speed.ours(site, base_url, count, host).rate)
    return [
        Figure(
            f"database {added} ms away: documents/s against the unix socket",
            [slow / fast for slow, fast in zip(far[added], near, strict=True)],
            Goal(">=", 0.8) if added == max(ROUND_TRIPS_MS) else None,
        )
        for added in ROUND_TRIPS_MS
    ]


if __name__ == "__main__":
    figures.alone(measure, __doc__)
