"""What two rankings of the same documents have in common: for the shadow of a live search and for the judgement."""

from collections.abc import Hashable, Sequence


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
