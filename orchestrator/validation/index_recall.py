"""The index apart from the model: how many of the truly nearest documents an approximate search finds, old and new.

An approximate index that misses a tenth of the nearest documents looks like a model that does. So the same vectors are
searched for exactly and through the index, at several widths of its search (`hnsw.ef_search`, `ivfflat.probes`), and
the share of what was there to be found is reported for each, with its time.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.validation.comparison import Ranking
from orchestrator.validation.finding import Finding

# Two distances of the same vectors may be rounded differently
_SAME = 1e-6

_EF_SEARCH = (40, 100, 200, 400)
_PROBES = (1, 4, 16, 64)

# Of the nearest documents. Below, somebody should look; below, even at the widest, it is no index of these vectors
_ENOUGH = 0.9
_BROKEN = 0.5
# An index with so many times fewer lists than its rows ask for was made for a smaller table
_OUTGROWN = 4


@dataclass(frozen=True)
class Point:
    """At one width of the search."""

    value: int
    recall: float
    low: float
    high: float
    """95 % interval, by bootstrap over queries."""
    median_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Curve:
    """One column's index."""

    index: str
    parameter: str
    in_use: int
    """As the role that judges has it set; an application may set it for itself."""
    points: tuple[Point, ...]
    """From the narrowest search to the widest."""
    lists: int | None = None
    wanted_lists: int | None = None
    """As many as an ivfflat index should have by its rows."""

    @property
    def used(self) -> Point:
        # Of a share of a large table, one setting may have found nothing within reach
        return next((point for point in self.points if point.value >= self.in_use), self.points[-1])


@dataclass(frozen=True)
class IndexRecall:
    k: int
    queries: int
    documents: int
    searched: int
    """Rows that an exact search looked at, about."""
    old: Curve | None
    new: Curve | None
    """None without an index."""

    def findings(self) -> Iterator[Finding]:
        """About the new index only: nobody mends the old one any more."""
        if self.new is None:
            return
        curve, widest, used = self.new, self.new.points[-1], self.new.used
        rebuild = f"`REINDEX INDEX CONCURRENTLY {curve.index}`, if it was built on fewer or other rows"
        if widest.high < _BROKEN:
            yield Finding(
                "index",
                "fault",
                f"the index {curve.index} finds {100 * widest.recall:.0f} % of the nearest documents, even with "
                f"{curve.parameter} = {widest.value}",
                rebuild,
            )
        elif used.high < _ENOUGH:
            enough = next((point for point in curve.points if point.recall >= _ENOUGH), None)
            yield Finding(
                "index",
                "warning",
                f"the index {curve.index} finds {100 * used.recall:.0f} % of the nearest documents with "
                f"{curve.parameter} = {used.value}",
                f"`SET {curve.parameter} = {enough.value}` finds {100 * enough.recall:.0f} %"
                if enough
                else rebuild,
            )
        if curve.lists and curve.wanted_lists and curve.lists * _OUTGROWN <= curve.wanted_lists:
            yield Finding(
                "index_lists",
                "warning",
                f"the index {curve.index} has {curve.lists:,} lists, and {self.documents:,} documents ask for "
                f"{curve.wanted_lists:,}: it was built on too few rows",
                f"`ALTER INDEX {curve.index} SET (lists = {curve.wanted_lists})`, "
                f"then `REINDEX INDEX CONCURRENTLY {curve.index}`",
            )

    def as_json(self) -> dict[str, Any]:
        told = dataclasses.asdict(self)
        for curve in (told["old"], told["new"]):
            if curve is not None:
                curve["points"] = list(curve["points"])
        return told


def widths(method: str, in_use: int, lists: int | None) -> list[int]:
    """The settings to try, the one in use among them; more probes than lists are the same as all."""
    if method == "hnsw":
        return sorted({in_use, *_EF_SEARCH})
    most = lists or _PROBES[-1]
    return sorted({in_use, *(min(value, most) for value in (*_PROBES, round(most**0.5)) if value >= 1)})


def count(near: Ranking, exact: Ranking, k: int, share: float) -> tuple[int, int]:
    """How many of those that were there to be found the index found, and how many there were.

    By similarity and not by name where every row was looked at, so that equally near documents count alike.
    """
    if share == 1.0:
        truth = exact.similarities[:k]
        reach = truth[-1] - _SAME if truth else 0.0
        return min(sum(one >= reach for one in near.similarities[:k]), len(truth)), len(truth)
    if len(near.ids) < k:
        within = exact.ids[: max(1, round(k * share))]
    else:
        reach = near.similarities[k - 1] - _SAME
        within = [key for key, one in zip(exact.ids, exact.similarities, strict=True) if one >= reach]
    return len(set(within) & set(near.ids[:k])), len(within)
