"""Watches from outside how long any session of reembed sits in an open transaction and does nothing."""

import threading
import time

import psycopg

EVERY_SECONDS = 0.03
_LONGEST = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)::float8 FROM pg_stat_activity
 WHERE application_name LIKE 'reembed%' AND state LIKE 'idle in transaction%'
"""


class Sampler(threading.Thread):
    def __init__(self, url: str) -> None:
        super().__init__(name="sampler", daemon=True)
        self.longest = 0.0
        """Seconds."""
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
                        assert row is not None
                        self.longest = max(self.longest, row[0])
            except psycopg.OperationalError:
                time.sleep(0.2)
