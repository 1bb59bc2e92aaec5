"""The person on duty: looks at the status, and types what the documents say."""

import threading
import time
from collections import Counter

import psycopg

from orchestrator import progress
from reembed import errors
from reembed.database import connection, ledger
from tests.installation import Installation

_LOOK_SECONDS = 1.0
# Of the whole time: when the flag is switched back and forth after it was switched first
_ROLLBACK_AFTER, _FORWARD_AFTER = 0.12, 0.18


class Operator(threading.Thread):
    """Until told to stop: resumes what stopped, retries what failed, judges again, switches, rolls back, switches."""

    def __init__(self, installation: Installation, seconds: float) -> None:
        super().__init__(name="operator", daemon=True)
        self.typed: Counter[str] = Counter()
        self.states: dict[str, float] = {}
        """Seconds that the migration was seen in each state."""
        self._installation = installation
        self._seconds = seconds
        self._switched_at: float | None = None
        self._paused_once = False
        self._stop_asked = threading.Event()

    def ask_to_stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        while not self._stop_asked.wait(_LOOK_SECONDS):
            status = look(self._installation)
            if status is not None:
                self.states[status.state] = self.states.get(status.state, 0) + _LOOK_SECONDS
                self.act(status)

    def act(self, status: progress.Status) -> None:
        """What a person would type now."""
        if status.state == "paused":
            self.type("resume")
        elif status.state == "failed":
            self.type("retry")
        elif status.state == "needs_review":
            self.type("validate")
        elif (
            status.state == "backfilling" and not self._paused_once and status.pending < status.documents / 2
        ):
            self._paused_once = True
            self.type("pause")
        elif status.state == "ready" and self._switched_at is None:
            self._switched_at = time.monotonic()
            self.switch()
        elif self._switched_at is not None:
            since = (time.monotonic() - self._switched_at) / self._seconds
            if status.state == "switched" and _ROLLBACK_AFTER < since < _FORWARD_AFTER:
                self.type("rollback")
            elif status.state == "ready" and since >= _FORWARD_AFTER:
                self.switch()

    def switch(self) -> None:
        """Where too much was written since the judgement: judge again, and switch at the next look."""
        if self.type("switch") != 0:
            self.type("validate")

    def type(self, *words: str) -> int:
        self.typed[words[0]] += 1
        return self._installation.reembed(*words).code


def look(installation: Installation) -> progress.Status | None:
    """None while the database is away."""
    try:
        with connection.connect(installation.url, "status of the chaos run") as database:
            return progress.status(database, ledger.latest(database, "public", "documents"))
    except (psycopg.OperationalError, errors.ReembedError):
        return None
