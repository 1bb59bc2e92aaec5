"""The flag in memory: for a second at the most, and not at all once somebody heard that it changed."""

import threading
import time

from reembed.retrieval.composing import Reading

BOUND_SECONDS = 1.0

Asked = tuple[int, float]
"""Which generation of the flag was asked for, and when."""


class FlagCache:
    """Threads may share it. A reading counts from the moment at which it was asked for."""

    def __init__(self) -> None:
        self._kept: tuple[Reading, float] | None = None
        self._generation = 0
        self._changing = threading.Lock()

    def get(self) -> Reading | None:
        kept = self._kept
        if kept is None or time.monotonic() - kept[1] >= BOUND_SECONDS:
            return None
        return kept[0]

    def ask(self) -> Asked:
        """Call before the flag is read."""
        return self._generation, time.monotonic()

    def put(self, asked: Asked, reading: Reading) -> None:
        """Keep what was read, unless the flag was said to have changed meanwhile, or somebody asked later."""
        generation, when = asked
        with self._changing:
            newer = self._kept is not None and self._kept[1] > when
            if generation == self._generation and not newer:
                self._kept = (reading, when)

    def forget(self) -> None:
        """The flag changed."""
        with self._changing:
            self._generation += 1
            self._kept = None
