"""The tally: what became of this process's requests, until the ledger has it."""

import threading

from reembed.database import requests
from reembed.database.requests import Outcome, Requests
from workers.database import Database


class Tally:
    """Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[tuple[int, Outcome], Requests] = {}

    def count(self, migration_id: int, outcome: Outcome, seconds: float) -> None:
        """One request that took so long."""
        self._add({(migration_id, outcome): Requests(1, seconds)})

    def write(self, database: Database) -> None:
        """To the ledger. What cannot be written is kept for the next time."""
        with self._lock:
            counted, self._counted = self._counted, {}
        if not counted:
            return
        try:
            database.call(lambda connection: requests.add(connection, counted))
        except Exception:
            self._add(counted)
            raise

    def _add(self, counted: dict[tuple[int, Outcome], Requests]) -> None:
        with self._lock:
            for key, more in counted.items():
                so_far = self._counted.get(key, Requests())
                self._counted[key] = Requests(so_far.requests + more.requests, so_far.seconds + more.seconds)
