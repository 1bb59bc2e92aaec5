"""The writer: a thread with a connection of its own, which commits one answer after the other.

While the server writes a batch, the loop fetches the next documents and sends them; nobody waits for the other. One
commit at a time, because two of the same chunk would wait for each other's progress.
"""

import contextvars
import time
from collections.abc import Sequence
from concurrent import futures

from reembed.database import chunks, ledger
from reembed.embedding.bisection import Apart
from workers import batches, committing, tracing
from workers.database import Database


class Writer:
    """Of one worker process."""

    def __init__(self, database: Database, *, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="writer")

    def commit(
        self,
        migration: ledger.Migration,
        claim: chunks.Claim,
        batch: batches.Batch,
        answers: Sequence[Apart],
    ) -> "futures.Future[float]":
        """Begin to commit a batch's answers. The future gives the seconds it took, or raises as committing.commit."""

        def commit() -> float:
            began = time.monotonic()
            with tracing.span("commit", documents=batch.documents):
                committing.commit(
                    self._database, migration, claim, batch.result(answers), lease_seconds=self._lease_seconds
                )
            return time.monotonic() - began

        return self._thread.submit(contextvars.copy_context().run, commit)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._database.close()
