"""How much two models agree: the share of search results that they have in common.

A description and an alarm, not a verdict: sound upgrades measure 0.30 to 0.48, and of two pairs of models the one
that agrees less is often the better one. `ruler.py` says what a figure means.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from orchestrator.validation import intervals


def overlap_at_k(old: Sequence[Hashable], new: Sequence[Hashable], k: int) -> float:
    """The share of ids that two rankings (nearest first, no id twice) have in common among their first k.

    Divided by what could have been shared: k, or the length of the longer ranking where both are shorter. A table of
    five documents can thus reach 1, while a side that returns fewer than the other is charged for what it lost. Two
    empty rankings agree: 1. Raises ValueError for k under 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; at least one result must be compared")
    possible = min(k, max(len(old), len(new)))
    if possible == 0:
        return 1.0
    return len(set(old[:k]) & set(new[:k])) / possible


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
