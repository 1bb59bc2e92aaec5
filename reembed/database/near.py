"""Names that somebody may have meant who wrote another: in other case, or with a letter or two wrong."""

import difflib
from collections.abc import Iterable

_MOST = 3
# Of difflib's ratio: a letter or two of eight
_CUTOFF = 0.75


def names(name: str, known: Iterable[str]) -> list[str]:
    """Those among the known ones, the nearest first; few, or none."""
    folded: dict[str, list[str]] = {}
    for one in sorted(set(known)):
        folded.setdefault(one.lower(), []).append(one)
    close = difflib.get_close_matches(name.lower(), folded, _MOST, _CUTOFF)
    return [one for match in close for one in folded[match]][:_MOST]
