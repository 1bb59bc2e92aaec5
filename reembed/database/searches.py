"""What live searches were like: counted and timed by side, and compared by the shadow. Sums, as services add them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reembed.database import queries
from reembed.database.connection import Connection
from reembed.database.ledger import Side

# Two classes to each doubling: a percentile is known to within a fifth
_PER_DOUBLING = 2
_SHORTEST_MS, _LONGEST_MS = 0.125, 65_536.0

Counted = tuple[int, Side, float]
"""Migration, side, class of duration."""


def duration_class(seconds: float) -> float:
    """The upper bound, in milliseconds, of the class that a duration is in."""
    ms = min(max(seconds * 1_000, _SHORTEST_MS), _LONGEST_MS)
    return float(2 ** (math.ceil(_PER_DOUBLING * math.log2(ms)) / _PER_DOUBLING))


@dataclass(frozen=True)
class SideReport:
    """Live searches that one side answered."""

    searches: int
    mean_ms: float | None
    """Of the time in the database; None without any search."""
    p95_ms: float | None
    """Bound of the class of durations that the 95th percentile is in: up to 1.41 times the truth."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "SideReport":
        """From rows of `list_searches` of one side, the shortest first."""
        searches = sum(row["searches"] for row in rows)
        if not searches:
            return cls(0, None, None)
        seconds = sum(row["seconds"] for row in rows)
        so_far, p95 = 0, 0.0
        for row in rows:
            so_far += row["searches"]
            p95 = row["milliseconds"]
            if so_far >= 0.95 * searches:
                break
        return cls(searches, round(1_000 * seconds / searches, 3), round(p95, 3))


@dataclass(frozen=True)
class ShadowReport:
    """Live searches that ran on both sides."""

    searches: int
    k: int
    overlap_mean: float
    overlap_ci95: tuple[float, float] | None
    """By the normal approximation; None for fewer than 30 searches."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ShadowReport":
        """From the row of `read_shadow`."""
        n = row["searches"]
        mean = row["overlap"] / n
        interval = None
        if n >= 30:
            variance = max(row["overlap_squares"] - n * mean**2, 0.0) / (n - 1)
            half = 1.96 * math.sqrt(variance / n)
            interval = (round(max(mean - half, 0.0), 4), round(min(mean + half, 1.0), 4))
        return cls(n, row["k"], round(mean, 4), interval)


def add(connection: Connection, counts: Mapping[Counted, tuple[int, float]]) -> None:
    """Add what a process counted: searches, and the seconds that they took in all."""
    queries.run(
        connection, "count_searches", None,
        migrations=[migration for migration, _, _ in counts], sides=[side for _, side, _ in counts],
        classes=[duration for _, _, duration in counts],
        searches=[searches for searches, _ in counts.values()],
        seconds=[seconds for _, seconds in counts.values()],
    )  # fmt: skip


def add_shadow(connection: Connection, migration_id: int, k: int, overlap: float) -> None:
    queries.run(connection, "add_shadow", None, migration_id=migration_id, k=k, overlap=overlap)


def by_side(connection: Connection, migration_id: int) -> dict[Side, SideReport]:
    rows = queries.run(connection, "list_searches", None, migration_id=migration_id).fetchall()
    sides: tuple[Side, Side] = ("old", "new")
    return {side: SideReport.of([row for row in rows if row["side"] == side]) for side in sides}


def shadow(connection: Connection, migration_id: int) -> ShadowReport | None:
    """None where no search was shadowed."""
    row = queries.run(connection, "read_shadow", None, migration_id=migration_id).fetchone()
    return ShadowReport.of(row) if row else None
