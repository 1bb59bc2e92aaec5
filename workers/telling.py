"""Telling whoever watches how far a task is: Flower shows it while the task runs."""

import threading
import time
from collections.abc import Callable

Send = Callable[[int, int], None]
"""Told the documents that are done, and all of them."""

_EVERY_SECONDS = 1.0


class Telling:
    """At most once a second, and in a thread: a broker that is away holds up no document."""

    def __init__(self, send: Send | None) -> None:
        """None: nobody watches."""
        self._send = send
        self._again_at = 0.0
        self._sending: threading.Thread | None = None

    def __call__(self, done: int, total: int) -> None:
        """Nothing is told while the telling before is still under way."""
        now = time.monotonic()
        if now < self._again_at:
            return
        self._again_at = now + _EVERY_SECONDS
        self.at_last(done, total)

    def at_last(self, done: int, total: int) -> None:
        """The same, however long ago the last time was."""
        if self._send is not None and (self._sending is None or not self._sending.is_alive()):
            self._sending = threading.Thread(target=self._send, args=(done, total), daemon=True)
            self._sending.start()


TO_NOBODY = Telling(None)
