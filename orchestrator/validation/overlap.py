"""How much two models agree: the share of search results that they have in common.

A description and an alarm, not a verdict: sound upgrades measure 0.30 to 0.48, and of two pairs of models the one
that agrees less is often the better one. `ruler.py` says what a figure means.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Self

from orchestrator.validation import intervals


@dataclass(frozen=True)
class Overlap:
    """The overlap of many queries."""

    queries: int
    mean: float
    low: float
    high: float
    """95 % interval of the mean, by bootstrap over queries."""
    threshold: float
    histogram: tuple[int, ...]
    """Queries by their overlap, in tenths: the last has those of 0.9 to 1."""
    under: tuple[tuple[Hashable, float], ...]
    """Queries below the threshold and their overlap, the worst first: even the best upgrade loses some."""

    @classmethod
    def of(cls, by_query: Mapping[Hashable, float], threshold: float) -> Self:
        """Sum up the overlap of each query. Equally bad queries keep their order. ValueError without queries."""
        low, high = intervals.bootstrap_mean(list(by_query.values()))
        mean = sum(by_query.values()) / len(by_query)
        under = [(query, overlap) for query, overlap in by_query.items() if overlap < threshold]
        under.sort(key=lambda entry: entry[1])
        tenths = [min(int(10 * overlap + 1e-9), 9) for overlap in by_query.values()]
        histogram = tuple(tenths.count(number) for number in range(10))
        return cls(len(by_query), mean, low, high, threshold, histogram, tuple(under))
