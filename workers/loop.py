"""The loop of batches over one claimed chunk.

1. Keep up to EMBED_CONCURRENCY requests in flight, each in a thread; fetch the next page of pending documents only
   when there is room, so that memory does not grow with the chunk.
2. Commit each answer when it comes: vectors, refusals and progress in one statement. No transaction is open during a
   request, and an answer that was paid for is committed even if its neighbour failed.
3. Between answers: renew the lease, and look whether anybody wants this worker to leave (pause, shutdown, the end of
   its time slice). Leaving means: no new request, commit what is in flight, give the chunk back.
"""

import threading
import time
from collections.abc import Sequence
from concurrent import futures
from dataclasses import replace

from reembed import errors, settings
from reembed.database import chunks, ledger
from reembed.embedding.bisection import Apart, embed_apart
from reembed.embedding.patience import Patience
from reembed.embedding.wire import Embedded
from workers import asking, batches, committing, drain
from workers.duplicates import Duplicates
from workers.tools import Tools

# Seconds that one task works on a chunk before it gives it back, so that no task outlives its message's visibility
WORK_SECONDS = 600
# A worker that was told to stop waits this long for the answers in flight, then leaves without them
DRAIN_SECONDS = 7
# How often the loop looks up when no answer comes
_LOOK_SECONDS = 0.5


class Loop:
    """One attempt at a chunk."""

    def __init__(
        self, tools: Tools, migration: ledger.Migration, claim: chunks.Claim, model: settings.Model
    ) -> None:
        self._tools = tools
        self._migration = migration
        self._claim = claim
        self._model = model
        self._provider = tools.provider(model, claim.side)
        self._quota = tools.quota(claim.side)
        # Ends every wait for the provider at once
        self._stop = threading.Event()
        self._patience = Patience(tools.settings.provider_patience_seconds, self._stop, self._note_wait)
        self._ruler = tools.ruler(model)
        self._duplicates = Duplicates()
        self._in_flight: dict[futures.Future[list[Apart]], batches.Batch] = {}
        self._waiting_for: str | None = None
        self._fault: Exception | None = None
        self._wanted = True
        self._abandoned = False
        self._ends_at = time.monotonic() + WORK_SECONDS
        self._leaves_at: float | None = None
        self._renew_at = 0.0

    def run(self) -> bool:
        """True when the end of the chunk was reached, False when the worker has to leave before.

        Raises the first fault, after what else was in flight has been committed.
        """
        try:
            return self._run()
        finally:
            # However it ends: who waits for the provider in a thread asks it for nothing more
            self._stop.set()

    def _run(self) -> bool:
        waiting = batches.of_chunk(
            self._tools.database, self._migration, self._claim, self._model, self._tools.settings,
            ruler=self._ruler, quota=self._quota, duplicates=self._duplicates,
        )  # fmt: skip
        at_end = False
        while True:
            while self._wanted and not at_end and self._has_room():
                batch = next(waiting, None)
                at_end = batch is None
                if batch is not None:
                    self._in_flight[self._tools.executor.submit(self._embed, batch)] = batch
            if not self._in_flight and (at_end or not self._wanted):
                break
            self._commit_answers()
            self._look_up()
        if self._fault is not None:
            raise self._fault
        return at_end and not self._abandoned

    def _has_room(self) -> bool:
        """For one more request in flight, unless the database is to be spared."""
        if len(self._in_flight) >= self._tools.settings.embed_concurrency:
            return False
        reason = self._tools.database.call(self._tools.governor.hold)
        if reason not in (None, self._waiting_for):
            # Told at the next look, not at the next heartbeat
            self._waiting_for, self._renew_at = reason, 0.0
        return reason is None

    def _embed(self, batch: batches.Batch) -> list[Apart]:
        """In a thread: the answers to a batch's requests, waiting out what passes."""

        def request(texts: Sequence[str]) -> Embedded:
            return asking.ask(
                self._provider, self._quota, self._ruler, texts, batch.estimate(texts),
                stop=self._stop, on_wait=self._note_wait,
            )  # fmt: skip

        answers: list[Apart] = []
        for part in batch.requests:
            texts = batch.sent[part.start : part.stop]
            try:
                answers.append(embed_apart(lambda texts: self._patience.call(request, texts), texts))
            except errors.ReembedError as error:
                if not answers:
                    raise
                # What was answered is paid for
                answers[-1] = replace(answers[-1], fault=error)
            if answers[-1].fault is not None:
                break
        return answers

    def _commit_answers(self) -> None:
        if not self._in_flight:
            # The database is spared
            self._stop.wait(_LOOK_SECONDS)
        done, _ = futures.wait(self._in_flight, _LOOK_SECONDS, futures.FIRST_COMPLETED)
        for future in done:
            batch = self._in_flight.pop(future)
            try:
                answers = future.result()
                self._commit(batch.result(answers))
                self._duplicates.finish(batch.groups)
                if answers and answers[-1].fault is not None:
                    raise answers[-1].fault
                self._waiting_for = None
            except Exception as error:
                # The first fault counts; no new request, but the answers on their way are paid for
                self._fault = self._fault or error
                self._wanted = False

    def _commit(self, result: batches.Result) -> None:
        lease = self._tools.settings.chunk_lease_seconds
        with self._tools.governor.writing():
            committing.commit(self._tools.database, self._migration, self._claim, result, lease_seconds=lease)

    def _look_up(self) -> None:
        """The heartbeat, and whether this worker should leave."""
        now = time.monotonic()
        if now >= self._renew_at:
            lease = self._tools.settings.chunk_lease_seconds
            self._renew_at = now + lease / 3
            wanted = self._tools.database.call(
                lambda connection: chunks.renew(
                    connection, self._claim, lease_seconds=lease, waiting_for=self._waiting_for
                )
            )
            self._wanted = self._wanted and wanted
        if now >= self._ends_at:
            self._wanted = False
        if drain.requested():
            self._leave(now)
        if not self._wanted:
            # Answers on their way are waited for, faults that may pass are not
            self._stop.set()

    def _leave(self, now: float) -> None:
        """Shutdown: no request any more, and no waiting for answers after DRAIN_SECONDS."""
        if self._leaves_at is None:
            self._wanted = False
            self._leaves_at = now + DRAIN_SECONDS
        elif now >= self._leaves_at and self._in_flight:
            self._in_flight.clear()
            self._abandoned = True

    def _note_wait(self, reason: str, seconds: float) -> None:
        self._waiting_for = f"{reason.rstrip('.')}; trying again in {seconds:.0f} s"
