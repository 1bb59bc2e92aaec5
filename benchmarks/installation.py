"""Ours as users run it: `reembed start` and real Celery workers, timed by the ledger.

A run gets a copy of a filled table, because what an UPDATE leaves behind slows the next one. What is measured begins
when the first chunk is claimed and ends when the last batch is committed; starting processes is no part of it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from benchmarks import processes, provider, table
from orchestrator.embedded import process
from orchestrator.embedded import stack as embedded
from orchestrator.embedded.workforce import Workforce
from reembed.database import connection

_POLL_SECONDS = 0.1
# Nothing here takes longer, even with other work on the machine
_LONGEST_SECONDS = 1_800
_PROGRESS = """
SELECT count(*) FILTER (WHERE state <> 'done'), sum(embedded),
       extract(epoch FROM max(progress_at) - min(started_at))::float8
  FROM reembed.chunks
"""
NEW_INDEX = "CREATE INDEX ON documents USING hnsw (embedding_v2 vector_cosine_ops)"


@dataclass(frozen=True)
class Run:
    """One backfill."""

    documents: int
    seconds: float
    cpu_seconds: float
    """Of the processes that embed, all together: user and system."""
    peak_bytes: int
    """Resident, of the largest of them."""

    @property
    def rate(self) -> float:
        return self.documents / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        """A document."""
        return self.cpu_seconds / self.documents * 1e6


@dataclass
class Installation:
    stack: embedded.Stack
    _filled: dict[int, str] = field(default_factory=dict)
    _runs: int = 0

    def url(self, database: str, host: Path | None = None) -> str:
        """`host` is a directory with another way to the server's socket."""
        url = self.stack.postgres.url(database)
        return url if host is None else f"{url.partition('?')[0]}?host={quote(str(host))}"

    @property
    def socket(self) -> Path:
        """The server's own."""
        with connection.connect(self.url("postgres"), "benchmark") as database:
            return Path(database.info.host) / f".s.PGSQL.{database.info.port}"

    @contextmanager
    def documents(self, count: int) -> Iterator[str]:
        """A database with so many documents, dropped with the block."""
        if count not in self._filled:
            template = f"filled_{count}"
            self.stack.postgres.create_database(template)
            with connection.connect(self.url(template), "benchmark") as database:
                table.fill(database, count)
            self._filled[count] = template
        self._runs += 1
        name = f"run_{self._runs}"
        self.stack.postgres.create_database(name, self._filled[count])
        # What the copy left to write must not be written during what is measured
        self.execute("postgres", "CHECKPOINT")
        try:
            yield name
        finally:
            self.stack.postgres.drop_database(name)

    def execute(self, database: str, statement: str) -> float:
        """Run a statement; the seconds that it took."""
        with connection.connect(self.url(database), "benchmark") as opened:
            began = time.perf_counter()
            opened.execute(statement)
            return time.perf_counter() - began

    def backfill(
        self,
        base_url: str,
        database: str,
        settings: Mapping[str, object],
        *,
        workers: int = 1,
        host: Path | None = None,
        indexed_first: bool = False,
    ) -> Run:
        """Fill the new column with worker processes of one child each; `settings` are added to the environment."""
        environment = {
            **self.stack.environment(database),
            "DATABASE_URL": self.url(database, host),
            # Messages of the last run are nobody's
            "CELERY_BROKER_URL": self.stack.redis.url(2 * self._runs),
            "CELERY_RESULT_BACKEND": self.stack.redis.url(2 * self._runs + 1),
            "OPENAI_BASE_URL": base_url,
            "EMBED_MODEL": "constant",
            "EMBED_DIMENSIONS": str(provider.DIMENSIONS),
            "INDEX_METHOD": "none",
            **{name: str(value) for name, value in settings.items()},
        }
        logs = self.stack.directory / f"run-{self._runs}"
        logs.mkdir(exist_ok=True)
        with Workforce(environment, logs) as workforce:
            if indexed_first:
                # Its chunks wait in the queue for the worker, and the worker for the index
                _start(environment)
                self.execute(database, NEW_INDEX)
            for _ in range(workers):
                workforce.start_worker(wait=False)
            workforce.wait_until_ready()
            children = [child for worker in workforce.workers for child in processes.children(worker.pid)]
            if not indexed_first:
                _start(environment)
            return self._measured(database, children)

    def _measured(self, database: str, children: list[int]) -> Run:
        """Wait for the last chunk. The children have done nothing yet but import."""
        deadline = time.monotonic() + _LONGEST_SECONDS
        with connection.connect(self.url(database), "benchmark") as ledger:
            while True:
                row = ledger.execute(_PROGRESS).fetchone()
                assert row is not None
                unfinished, documents, seconds = row
                if not unfinished:
                    break
                assert time.monotonic() < deadline, f"{unfinished} chunks unfinished"
                time.sleep(_POLL_SECONDS)
        cpu = sum(map(processes.cpu_seconds, children))
        return Run(documents, seconds, cpu, max(map(processes.peak_bytes, children)))


@contextmanager
def running() -> Iterator[Installation]:
    with embedded.running() as stack:
        yield Installation(stack)


def _start(environment: Mapping[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "reembed", "start"],
        env={**os.environ, **environment},
        cwd=process.CHECKOUT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
