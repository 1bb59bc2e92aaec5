"""Is every vector there, of the right text, and of use? Looked at over every row, and without asking any model.

What single rows cannot show is in their sum: a dimension in which no two vectors differ, old vectors copied into the
new column, one vector for many texts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.validation.comparison import Row
from orchestrator.validation.finding import Finding
from reembed.database.documents import Census, Spread

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)

# Of a dimension's variance, relative to the largest: rounding leaves a hundred times less
_DEAD = 1e-5
# Texts whose vectors have to differ somewhere
_COMPARABLE = 10
# Shares. Hashed models leave dimensions empty while documents are few; trained ones have no empty dimension
_MANY_DEAD = 0.1
_MANY_COPIED = 0.01
# A bag of words has one vector for texts that differ in their order alone
_MANY_SHARED = 0.05

RETRY = "`reembed retry` has them made anew, then `reembed validate`"
AGAIN = "`reembed abort` and `reembed start` make all of them anew"


@dataclass(frozen=True)
class Integrity:
    """What was seen over all rows of the new column."""

    census: Census
    dead_dimensions: int
    """In which all vectors have the same value."""
    dimensions: int
    copied: int
    """Rows whose new vector is their old one."""
    shared: int
    """Documents that share their vector with one of another text."""
    sampled: int
    norm_mean: float
    norm_deviation: float
    tolerable: int
    """How many documents may be pending only because the application goes on writing."""
    old_norms: tuple[float, ...] = ()
    new_norms: tuple[float, ...] = ()
    """Quantiles of the lengths of the sample's vectors, at LEVELS."""

    @classmethod
    def of(cls, census: Census, spread: Spread, rows: Sequence[Row], tolerable: int) -> "Integrity":
        # Documents of the same text have the same vector by right
        texts = len({row.content_hash for row in rows})
        return cls(
            census=census,
            dead_dimensions=_dead(spread.variance) if texts >= _COMPARABLE else 0,
            dimensions=len(rows[0].new) if rows else 0,
            copied=spread.copied,
            shared=spread.shared,
            sampled=len(rows),
            norm_mean=spread.norm_mean,
            norm_deviation=spread.norm_deviation,
            tolerable=tolerable,
            old_norms=_norms([row.old for row in rows]),
            new_norms=_norms([row.new for row in rows]),
        )

    def findings(self) -> Iterator[Finding]:
        census = self.census
        if 0 < census.pending <= self.tolerable:
            yield Finding(
                "writing",
                "warning",
                f"{census.pending:,} documents were written just now and are being caught up with",
                "`reembed status` shows the lag",
            )
        elif census.pending:
            yield Finding(
                "missing",
                "fault",
                f"{census.pending:,} documents have no fresh vector",
                "`reembed status` shows why, then `reembed validate`",
            )
        if census.stale:
            yield Finding("stale", "fault", f"{census.stale:,} vectors are of an older text", RETRY)
        if census.invalid:
            what = f"{census.invalid:,} vectors are missing or zero though a model is named beside them"
            yield Finding("invalid", "fault", what, RETRY)
        if self.dead_dimensions:
            told = census.embedded >= self.dimensions and self.dead_dimensions >= _MANY_DEAD * self.dimensions
            yield Finding(
                "dead_dimensions",
                "fault" if told else "warning",
                f"in {self.dead_dimensions:,} of {self.dimensions:,} dimensions all vectors have the same value",
                f"check EMBED_MODEL and EMBED_DIMENSIONS; {AGAIN}",
            )
        if self.copied:
            told = self.copied >= _MANY_COPIED * census.embedded
            yield Finding(
                "copied",
                "fault" if told else "warning",
                f"{self.copied:,} new vectors are the old ones",
                f"somebody copied the old column, or both models are the same; {AGAIN}",
            )
        if self.shared:
            told = self.shared >= _MANY_SHARED * census.embedded
            yield Finding(
                "shared",
                "fault" if told else "warning",
                f"{self.shared:,} of {census.embedded:,} documents have the vector of another text",
                f"compare a few by hand; {AGAIN}",
            )


def _norms(vectors: Sequence[NDArray[np.float32]]) -> tuple[float, ...]:
    if not vectors:
        return ()
    return tuple(np.quantile(np.linalg.norm(np.stack(vectors), axis=1), LEVELS).tolist())


def _dead(variance: NDArray[np.float64]) -> int:
    """How many dimensions have no variance, but for rounding."""
    return int((variance <= _DEAD * max(float(variance.max(initial=0.0)), 0.0)).sum())
