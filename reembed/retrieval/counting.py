"""Live searches counted in memory, by side and class of duration, until the background adds them to the ledger."""

import threading

from reembed.database import searches
from reembed.database.ledger import Side


class Tally:
    """Threads may share it. Its size is bounded by the classes of durations, however many searches it counts."""

    def __init__(self) -> None:
        self._counts: dict[searches.Counted, tuple[int, float]] = {}
        self._counting = threading.Lock()

    def add(self, migration: int, side: Side, seconds: float) -> None:
        counted = (migration, side, searches.duration_class(seconds))
        with self._counting:
            so_far, in_all = self._counts.get(counted, (0, 0.0))
            self._counts[counted] = (so_far + 1, in_all + seconds)

    def take(self) -> dict[searches.Counted, tuple[int, float]]:
        """All that was counted since it was last taken."""
        with self._counting:
            taken, self._counts = self._counts, {}
        return taken
