"""Slices: one tenant, language or source whose vectors are broken hides in a mean that is fine.

Each slice's overlap is measured with its own documents as queries, the worst first. Looking at many slices finds a bad
one by chance, so intervals are wider the more there are: together they hold with 95 % (Bonferroni 1936). A slice of
which the sample has few documents is left out, and counted.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from orchestrator.validation import intervals
from orchestrator.validation.finding import Finding

# Documents of a slice in the sample: below, an interval says nothing
_LEAST = 20
# Named one by one; a table may have thousands of tenants
_LISTED = 50


@dataclass(frozen=True)
class Slice:
    name: str
    documents: int
    """In the sample."""
    overlap: float
    low: float
    high: float


@dataclass(frozen=True)
class Slices:
    column: str
    measured: tuple[Slice, ...]
    """The worst first."""
    too_small: int
    """Slices with too few documents in the sample."""
    mean: float
    low: float
    """The lower end of the 95 % interval of the mean over all of them."""

    @classmethod
    def of(
        cls, column: str, slice_of: Mapping[str, str | None], overlaps: Mapping[str, float]
    ) -> Self | None:
        """`slice_of` and `overlaps` are by document. None where nothing was measured."""
        values: dict[str, list[float]] = defaultdict(list)
        for document, overlap in overlaps.items():
            values[_name(slice_of.get(document))].append(overlap)
        if not values:
            return None
        large = {name: found for name, found in values.items() if len(found) >= _LEAST}
        level = 1 - 0.05 / max(len(large), 1)
        every = list(overlaps.values())
        return cls(
            column,
            tuple(sorted((_measured(name, found, level) for name, found in large.items()), key=_badness)),
            len(values) - len(large),
            sum(every) / len(every),
            intervals.bootstrap_mean(every)[0],
        )

    def findings(self, floor: float) -> Iterator[Finding]:
        for one in self.measured:
            what = f"the documents with {self.column} = {one.name} have a mean overlap of {one.overlap:.3f}"
            if one.high < floor:
                yield Finding(
                    "slice", "fault", f"{what}, under the alarm floor {floor}",
                    "look at who writes them; `reembed retry` embeds again what was marked pending",
                )  # fmt: skip
            elif one.high < self.low:
                yield Finding(
                    "slice", "warning", f"{what}, and all together of {self.mean:.3f}",
                    "try a few of their queries by hand",
                )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        return {
            "column": self.column,
            "slices": [dataclasses.asdict(one) for one in self.measured[:_LISTED]],
            "too_small": self.too_small,
        }


def _measured(name: str, values: Sequence[float], level: float) -> Slice:
    low, high = intervals.bootstrap_mean(values, level=level)
    return Slice(name, len(values), sum(values) / len(values), low, high)


def _badness(one: Slice) -> tuple[float, str]:
    return one.overlap, one.name


def _name(value: str | None) -> str:
    return "NULL" if value is None else repr(value)
