"""Watches from outside how long any session of reembed sits in an open transaction, holds a table and does nothing.

A process that is frozen just while it connects sits in a transaction too, in which psycopg looks up types in the
catalog: that one is in nobody's way.
"""

import threading
import time

import psycopg

EVERY_SECONDS = 0.03
# Relations below are the catalog's
_FIRST_OF_USERS = 16_384
_LONGEST = f"""
SELECT extract(epoch FROM clock_timestamp() - state_change)::float8, application_name, left(query, 200)
  FROM pg_stat_activity session
 WHERE application_name LIKE 'reembed%' AND state LIKE 'idle in transaction%'
   AND EXISTS (SELECT FROM pg_locks lock WHERE lock.pid = session.pid AND lock.relation >= {_FIRST_OF_USERS})
 ORDER BY state_change LIMIT 1
"""


class Sampler(threading.Thread):
    def __init__(self, url: str) -> None:
        super().__init__(name="sampler", daemon=True)
        self.longest = 0.0
        """Seconds."""
        self.whose = ""
        """The session that was idle for the longest, and its last statement."""
        self._url = url
        self._stop_asked = threading.Event()

    def ask_to_stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, application_name="sampler") as connection:
                    while not self._stop_asked.wait(EVERY_SECONDS):
                        row = connection.execute(_LONGEST).fetchone()
                        if row is not None and row[0] > self.longest:
                            self.longest, self.whose = row[0], f"{row[1]}, after: {' '.join(row[2].split())}"
            except psycopg.OperationalError:
                time.sleep(0.2)
