"""How similarities move with the model: a threshold tuned to the old one means nothing to the new one.

An application that drops results under 0.78 drops others, or all, with another model. The equivalent threshold keeps
the same share of results: it stands at the same quantile of the new similarities (equipercentile equating, Angoff
1971). What it keeps are not the same results; overlap says how many are.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_DRAWS = 500


@dataclass(frozen=True)
class Equivalent:
    """A threshold on the old similarities, and the one on the new that keeps the same share of the results."""

    old: float
    new: float
    low: float
    high: float
    """95 % interval, by bootstrap over queries."""
    kept: float
    """The share of the results that both keep."""


@dataclass(frozen=True)
class Shift:
    """Similarities of the first k results of the same queries."""

    old: tuple[float, ...]
    new: tuple[float, ...]
    """Their quantiles, at LEVELS."""
    equivalents: tuple[Equivalent, ...]
    """At the quantiles of the old similarities, and at the threshold that was asked for."""

    @classmethod
    def of(
        cls, old: Sequence[Sequence[float]], new: Sequence[Sequence[float]], threshold: float | None = None
    ) -> Self | None:
        """By the similarities of each query's results. None where either side has none."""
        before, after = _matrix(old), _matrix(new)
        if np.isnan(before).all() or np.isnan(after).all():
            return None
        quantiles = np.nanquantile(before, LEVELS)
        thresholds = [*quantiles.tolist(), *([] if threshold is None else [threshold])]
        return cls(
            tuple(quantiles.tolist()),
            tuple(np.nanquantile(after, LEVELS).tolist()),
            tuple(_equivalents(before, after, thresholds)),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "levels": list(LEVELS),
            "old": list(self.old),
            "new": list(self.new),
            "equivalents": [dataclasses.asdict(one) for one in self.equivalents],
        }


def _matrix(similarities: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """A row for each query, NaN where it has fewer results."""
    matrix = np.full((len(similarities), max(map(len, similarities), default=0) or 1), np.nan)
    for row, values in zip(matrix, similarities, strict=True):
        row[: len(values)] = values
    return matrix


def _equivalents(
    old: NDArray[np.float64], new: NDArray[np.float64], thresholds: Sequence[float]
) -> list[Equivalent]:
    generator = np.random.default_rng(0)
    drawn = np.array(
        [
            _equate(old[chosen], new[chosen], thresholds)
            for chosen in generator.integers(len(old), size=(_DRAWS, len(old)))
        ]
    )
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    return [
        Equivalent(threshold, equal, float(least), float(most), _share_over(old, threshold))
        for threshold, equal, least, most in zip(
            thresholds, _equate(old, new, thresholds), low, high, strict=True
        )
    ]


def _equate(old: NDArray[np.float64], new: NDArray[np.float64], thresholds: Sequence[float]) -> list[float]:
    under = [1 - _share_over(old, threshold) for threshold in thresholds]
    values = new[~np.isnan(new)]
    return [float("nan")] * len(under) if values.size == 0 else np.quantile(values, under).tolist()


def _share_over(similarities: NDArray[np.float64], threshold: float) -> float:
    known = similarities[~np.isnan(similarities)]
    return float((known >= threshold).mean()) if known.size else 0.0
