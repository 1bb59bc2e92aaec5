"""How often a table is counted for whoever watches: a tenth of the time at most, and meanwhile what was counted last.

During the backfill a look costs nothing, and each is a new one; see `progress.from_the_ledger`.
"""

import time
from collections.abc import Callable

from orchestrator import progress
from orchestrator.progress import Status
from reembed.database.ledger import Migration

_SHARE = 0.1


class Counting:
    """Remembers of each migration the last status that was counted in its table."""

    def __init__(self, every_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """`every_seconds` pass at least between two counts, however short they are."""
        self._every_seconds = every_seconds
        self._clock = clock
        self._counted: dict[int, tuple[str, float, Status]] = {}

    def status(self, migration: Migration, look: Callable[[], Status]) -> Status:
        """What `look` returns, or returned last; in a state that the migration was not in before, always anew."""
        state, again_at, known = self._counted.get(migration.id, ("", 0.0, None))
        began = self._clock()
        if known is not None and state == migration.state and began < again_at:
            return known
        status = look()
        if not progress.from_the_ledger(migration.state):
            now = self._clock()
            # After a tenth of the time comes the rest of it
            again_at = now + max((now - began) * (1 / _SHARE - 1), self._every_seconds)
            self._counted[migration.id] = migration.state, again_at, status
        return status
