"""One thread with one connection beside the searches: it hears of the flag, adds up counts, and runs the shadow.

All of it is best effort. A search never waits for it: counts are numbers in memory, the shadow's queue has an end and
what does not fit is dropped. Where the connection is lost it is opened again, and until then the flag is simply read
once a second.
"""

import contextlib
import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable

import psycopg

from reembed import errors
from reembed.database import connection as connections
from reembed.database import queries, searches
from reembed.database.connection import Connection
from reembed.events import Event
from reembed.retrieval.cache import FlagCache
from reembed.retrieval.counting import Tally
from reembed.retrieval.shadow import Job

ADD_EVERY_SECONDS = 5.0
LONGEST_QUEUE = 32
_REOPEN_SECONDS = 5.0
_log = logging.getLogger(__name__)

Shadow = Callable[[Connection, Job], float | None]
"""Runs a job; the overlap, or None where there is nothing to compare."""


class Background:
    def __init__(self, url: str, cache: FlagCache, tally: Tally, shadow: Shadow) -> None:
        self._url = url
        self._cache = cache
        self._tally = tally
        self._shadow = shadow
        self._jobs: queue.Queue[Job] = queue.Queue(LONGEST_QUEUE)
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = 0
        self._bell: socket.socket
        self._ringer: socket.socket

    def ensure(self) -> None:
        """Start it, at the first search and after a fork: a thread does not survive one."""
        if self._process == os.getpid():
            return
        with self._starting:
            if self._process == os.getpid() or self._stop.is_set():
                return
            if self._thread is not None:
                # What the parent process uses, and a queue that it may have held at the fork
                self._bell.close()
                self._ringer.close()
                self._jobs = queue.Queue(LONGEST_QUEUE)
            self._bell, self._ringer = socket.socketpair()
            self._ringer.setblocking(False)
            self._thread = threading.Thread(target=self._run, name="reembed-search", daemon=True)
            self._thread.start()
            self._process = os.getpid()

    def offer(self, job: Job) -> bool:
        """False where the queue is full: the job is dropped."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        self._ring()
        return True

    def close(self) -> None:
        """Add what was counted and end; a job that has begun is waited for, those that wait are dropped."""
        self._stop.set()
        if self._thread is not None and self._process == os.getpid():
            self._ring()
            self._thread.join()
            self._bell.close()
            self._ringer.close()

    def _ring(self) -> None:
        # Full: it has been told often enough
        with contextlib.suppress(BlockingIOError):
            self._ringer.send(b".")

    def _run(self) -> None:
        while True:
            try:
                with psycopg.connect(
                    self._url, autocommit=True, application_name="reembed search"
                ) as connection:
                    queries.run(connection, "listen")
                    # Whatever was said before
                    self._cache.forget()
                    self._work(connection)
            except psycopg.Error as error:
                _log.warning(Event("search_background_lost", reason=connections.in_one_line(error)))
            if self._stop.wait(_REOPEN_SECONDS if not self._stop.is_set() else 0):
                return

    def _work(self, connection: Connection) -> None:
        """Until it has to stop, or the connection is lost."""
        due = time.monotonic() + ADD_EVERY_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell, selectors.EVENT_READ)
            selector.register(connection.fileno(), selectors.EVENT_READ)
            while not self._stop.is_set():
                ready = selector.select(max(due - time.monotonic(), 0) if self._jobs.empty() else 0)
                if any(key.fileobj is self._bell for key, _ in ready):
                    self._bell.recv(4096)
                if any(True for _ in connection.notifies(timeout=0)):
                    self._cache.forget()
                self._shadow_next(connection)
                if time.monotonic() >= due:
                    self._add(connection)
                    due = time.monotonic() + ADD_EVERY_SECONDS
        self._add(connection)

    def _add(self, connection: Connection) -> None:
        if counts := self._tally.take():
            try:
                searches.add(connection, counts)
            except (psycopg.ProgrammingError, psycopg.IntegrityError) as error:
                # No right to, or no ledger any more: nothing that another try would mend
                _log.warning(Event("searches_not_counted", reason=connections.in_one_line(error)))

    def _shadow_next(self, connection: Connection) -> None:
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return
        try:
            overlap = self._shadow(connection, job)
            if overlap is not None and job.answer.reading.flag is not None:
                migration = job.answer.reading.flag.migration
                searches.add_shadow(connection, migration, job.question.top_k, overlap)
        except psycopg.OperationalError:
            raise
        except (errors.ReembedError, psycopg.Error) as error:
            # Its class alone: a message of the provider's may quote the text
            _log.debug(Event("shadow_failed", reason=type(error).__name__))
