"""Does each document's new vector belong to that document? Proved from stored vectors, without asking any model.

1. Learn a map from old to new vectors on most of a random sample of pairs: a rotation, so that it can line the two
   spaces up but cannot learn single rows by heart.
2. Send the old vector of every other row of the sample through the map.
3. Rank the row's own new vector among those of the whole sample. In a healthy column it comes near the top; a vector
   that belongs to another document comes anywhere.

The sample is also the field that is ranked, not the table: first among 1,400 means the same at every table size,
first among a billion would not.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.validation import intervals
from orchestrator.validation.finding import Finding

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Map:
    """From vectors of the old model to queries in the new column's space, for cosine or inner product."""

    mean: NDArray[np.float64]
    rotation: NDArray[np.float64]

    def apply(self, old: Rows) -> Rows:
        """Map rows (m, d_old) to unit queries (m, d_new). A row at the old mean has no direction and becomes zero."""
        mapped = (old - self.mean) @ self.rotation
        length = np.linalg.norm(mapped, axis=1, keepdims=True)
        unit: Rows = np.divide(mapped, length, out=np.zeros_like(mapped), where=length > 0).astype(np.float32)
        return unit


def fit(old: Rows, new: Rows) -> Map:
    """Learn the map from pairs: `old` (n, d_old) and `new` (n, d_new), finite unit rows, row i of one document.

    Orthogonal Procrustes (Schönemann 1966) on rows centred in both spaces; d_old and d_new may differ. (Only the old
    rows are centred below: in the product of the two, the new mean meets a sum of zero.) The new mean is not added
    to the queries either. Without it, ranking unit rows by cosine ranks them by their centred inner product; adding
    it pulls every query towards the rows nearest to the mean (SciFact, MiniLM to wordllama: 96 % of rows found
    without it, 77 % with it). Directions that the pairs say nothing about are mapped to zero, not turned at random.
    """
    mean = old.mean(axis=0, dtype=np.float64)
    # With fewer pairs than dimensions, QR shrinks the decomposition from dimensions to pairs
    old_basis, old_part = np.linalg.qr((old - mean).T)
    new_basis, new_part = np.linalg.qr(new.T.astype(np.float64))
    left, strength, right = np.linalg.svd(old_part @ new_part.T, full_matrices=False)
    told = strength > strength[0] * max(left.shape[0], right.shape[1]) * np.finfo(np.float64).eps
    return Map(mean, (old_basis @ left[:, told]) @ (right[told] @ new_basis.T))


def ranks(queries: Rows, own: NDArray[np.intp], sample: Rows) -> NDArray[np.float64]:
    """How many rows of `sample` (n, d) come before row own[i] for queries[i], by inner product: 0 is the nearest.

    Rows that tie count half each, so that a column holding one vector everywhere ranks in the middle, not first.
    """
    scores = queries @ sample.T
    mine = scores[np.arange(len(own)), own][:, None]
    # One product may round equal rows differently
    before = (scores > mine + 1e-6).sum(axis=1)
    tied = (np.abs(scores - mine) <= 1e-6).sum(axis=1) - 1
    return np.asarray(before + tied / 2, dtype=np.float64)


@dataclass(frozen=True)
class Identity:
    """What the check saw."""

    tested: int
    """Rows whose own vector was looked for; 0 where the sample is too small to say anything."""
    found: int
    """Of these, how many had their own vector among the nearest 10."""
    low: float
    high: float
    """95 % interval of found / tested."""
    lost: int
    """Of these, how many had their own vector in the farther half, as every second wrong one has by chance."""
    failing_ids: tuple[Hashable, ...]
    """The rows not found, the farthest first: wrong vectors come before those that are merely hard to tell."""


NEAREST = 10

# Pairs worth reading: more hardly narrow the answer. Five in seven fit the map, the rest are tested
SAMPLE = 1_400
# Below, the map is too coarse: sound columns of 200 rows lost up to 12 %
SMALLEST_SAMPLE = 300
MOST_LOST = 0.04


def check(ids: Sequence[Hashable], old: Rows, new: Rows) -> Identity:
    """Check a random sample of rows, in random order: `ids` (n,), `old` (n, d_old), `new` (n, d_new), unit rows."""
    if len(ids) < SMALLEST_SAMPLE:
        return Identity(tested=0, found=0, low=0.0, high=1.0, lost=0, failing_ids=())
    fitted = len(ids) * 5 // 7
    learned = fit(old[:fitted], new[:fitted])
    tested = np.arange(fitted, len(ids))
    rank = ranks(learned.apply(old[fitted:]), tested, new)
    missed = [int(i) for i in np.argsort(-rank, kind="stable") if rank[i] >= NEAREST]
    found = len(tested) - len(missed)
    low, high = intervals.wilson(found, len(tested))
    lost = int((rank >= (len(ids) - 1) / 2).sum())
    return Identity(len(tested), found, low, high, lost, tuple(ids[fitted + i] for i in missed))


def findings(identity: Identity) -> Iterator[Finding]:
    if holds(identity) is False:
        yield Finding(
            "identity",
            "fault",
            f"of {identity.tested:,} tested documents, {identity.lost:,} have a new vector that is nowhere near what "
            "their old one says",
            "`reembed validate --json` lists them; compare a few by hand",
            tuple(str(row) for row in identity.failing_ids),
        )


def holds(identity: Identity) -> bool | None:
    """Whether the new vectors are their documents' own; None where the sample is too small to say.

    No, where the lower bound of the share of lost rows is above MOST_LOST. Not `found`, because that depends on how
    alike the two models are, and a lost row hardly does. Measured on 12 to 1,080 samples a figure, SciFact and passages
    cut from it, wordllama-256, MiniLM and hashed words and n-grams of 256 to 768 dimensions, in both directions:

        sample of 1,400 (300)          found                lost                 holds
        sound, trained models          .98-1.0 (.94-1.0)    .00 (.00-.01)        always
        sound, hashed n-grams          .87-1.0 (.67-.98)    .00 (.00-.02)        always
        sound, hashed words            .45-.86 (.27-.81)    .00-.02 (.00-.08)    always
        shuffled                       .00-.02 (.00-.10)    .42-.56 (.33-.65)    never
        shifted by one row             .00-.02 (.00-.10)    .42-.55 (.33-.64)    never
        shifted, passages in order     .02-.13 (.09-.34)    .19-.34 (.13-.36)    never
        half of the rows wrong         .09-.51 (.01-.48)    .17-.31 (.14-.45)    never
        every fifth row wrong          .28-.82 (.16-.86)    .06-.15 (.02-.24)    never (3 of 10)
        every tenth row wrong          .34-.92 (.20-.95)    .02-.08 (.00-.17)    4 of 5

    What it does not see, and what does: fewer wrong rows (19 of 20 are in `failing_ids` if they are in the sample); a
    shift among windows that share half their text (holds for 1 sample in 24, for 2 in 3 at 300 rows), which embedding
    some rows again does; old vectors copied into the new column, whose every row is found: compare old with new.
    """
    if identity.tested == 0:
        return None
    return intervals.wilson(identity.lost, identity.tested)[0] <= MOST_LOST
