"""Which documents to embed again: those whose new vector is farthest from where their old one says, among many rows.

The identity check says how many are wrong from a few hundred rows, and one wrong batch of a large table has hardly a
row among them. It needs no share to be caught, only one of its rows: so many more rows are looked at here, by the same
map, and the farthest are handed to the one check that proves it, which embeds them again.

No row is looked at by a map that it was fitted to: in wide spaces a map bends towards its own rows, the wrong ones too.
"""

from collections.abc import Hashable, Sequence

import numpy as np

from orchestrator.validation import identity
from orchestrator.validation.identity import Rows

_MOST_ROWS = 10_000
# Of both vectors together, read into this process
_MOST_BYTES = 100_000_000
# Pairs that a map is fitted to, and parts that take turns in being looked at
_FITTED = 1_000
_PARTS = 4


def size(old_dimensions: int, new_dimensions: int) -> int:
    """How many rows to read."""
    return min(_MOST_ROWS, _MOST_BYTES // (4 * (old_dimensions + new_dimensions)))


def suspects(ids: Sequence[Hashable], old: Rows, new: Rows) -> tuple[Hashable, ...]:
    """The rows that their old vector does not lead to, the farthest first. Rows as of identity.check."""
    if len(ids) < identity.SMALLEST_SAMPLE:
        return ()
    field = new[: identity.SAMPLE]
    ranks = np.empty(len(ids), dtype=np.intp)
    places = np.arange(len(ids))
    for part in range(_PARTS):
        looked_at = places[part::_PARTS]
        others = places[places % _PARTS != part][:_FITTED]
        queries = identity.fit(old[others], new[others]).apply(old[looked_at])
        own = (queries * new[looked_at]).sum(axis=1, keepdims=True)
        # One product may round equal rows differently
        ranks[looked_at] = (queries @ field.T > own + 1e-6).sum(axis=1)
    farthest = np.argsort(-ranks, kind="stable")
    return tuple(ids[place] for place in farthest if ranks[place] >= identity.NEAREST)
