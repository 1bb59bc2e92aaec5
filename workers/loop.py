"""The loop of batches over one claimed chunk, and over those that it takes along.

1. Keep EMBED_CONCURRENCY requests in flight, each in a thread, and a few ready for the threads that are answered next.
   An answer waits to be committed; as many may wait as may be in flight, so that memory does not grow with the chunk.
2. Hand one answer after the other to the writer (writer.py): vectors, refusals and progress in one statement. No
   transaction is open during a request, and an answer that was paid for is committed even if its neighbour failed.
3. Where the chunk is too small to fill the window, and there is nothing to do but to wait, take another chunk along
   (taking.py). The task ends with the last of them.
4. Between two answers: renew the leases, and look whether anybody wants this worker to leave (pause, shutdown, the end
   of its time slice). Leaving means: no new request, commit what is in flight, give the chunks back.
"""

import contextvars
import threading
import time
from collections import deque
from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reembed import errors
from reembed.database import chunks
from workers import batches, drain
from workers.asking import Asker
from workers.attempt import Attempt
from workers.jobs.answers import Answers
from workers.taking import Held, Taking
from workers.telling import Telling
from workers.tools import Tools

if TYPE_CHECKING:
    from reembed.embedding.bisection import Apart

# Seconds that one task works on a chunk before it gives it back, so that no task outlives its message's visibility
WORK_SECONDS = 600
# A worker that was told to stop waits this long for the answers in flight, then leaves without them
DRAIN_SECONDS = 7
# How often the loop looks up when no answer comes
_LOOK_SECONDS = 0.5
# Beside those in flight, one batch in so many lies ready: the thread that is answered takes it at once
_READY_SHARE = 4
# With room for more requests, and none left to send, the loop waits so long before it takes another chunk along
_LONELY_SECONDS = 0.05


@dataclass(frozen=True)
class Writing:
    """A commit under way."""

    held: Held
    documents: int
    fault: errors.ReembedError | None
    """What kept the rest of the batch from being answered."""
    seconds: futures.Future[float]


class Loop:
    """One attempt at a chunk."""

    def __init__(
        self,
        tools: Tools,
        attempt: Attempt,
        telling: Telling,
        answers: Answers | None = None,
    ) -> None:
        """With the `answers` of a job nobody is asked; what they leave open stays pending, and no chunk is done."""
        self._tools = tools
        self._migration = attempt.migration
        # Ends every wait for the provider at once
        self._stop = threading.Event()
        self._source = answers or Asker(tools, attempt, self._stop, self._note_wait)
        self.taking = Taking(tools, attempt, telling, finishes=answers is None)
        # Sent, or ready to be
        self._in_flight: dict[futures.Future[list[Apart]], tuple[Held, batches.Batch]] = {}
        self._answered: deque[tuple[Held, batches.Batch, futures.Future[list[Apart]]]] = deque()
        self._writing: Writing | None = None
        self._waiting_for: str | None = None
        self._fault: Exception | None = None
        self._charged: chunks.Claim | None = None
        self._wanted = True
        self._ends_at = time.monotonic() + WORK_SECONDS
        self._leaves_at: float | None = None
        self._renew_at = 0.0

    @property
    def charged(self) -> chunks.Claim:
        """The chunk that the fault is about."""
        return self._charged or (self.taking.left or [self.taking.own])[-1]

    def run(self) -> None:
        """Until all is done, or the worker has to leave.

        Raises the first fault, after what else was in flight has been committed.
        """
        try:
            while self._goes_on():
                self._fill()
                self._wait()
                self._settle()
                self._commit_next()
                self._look_up()
        finally:
            # However it ends: who waits for the provider in a thread asks it for nothing more
            self._stop.set()
            if self._writing is not None:
                futures.wait([self._writing.seconds])
        if self._fault is not None:
            raise self._fault

    def _goes_on(self) -> bool:
        return bool(self._in_flight or self._answered or self._writing or (self._wanted and self.taking.held))

    def _fill(self) -> None:
        while self._wanted and self._has_room() and (taken := self.taking.next()):
            in_context = contextvars.copy_context().run
            self._in_flight[self._tools.executor.submit(in_context, self._source.of, taken[1])] = taken

    def _has_room(self) -> bool:
        """For one more request in flight or ready, unless the database is to be spared, or this is far enough."""
        concurrency = self._tools.settings.embed_concurrency
        ready = max(concurrency // _READY_SHARE, 1)
        answered = len(self._answered) + (self._writing is not None)
        if len(self._in_flight) >= concurrency + ready or len(self._in_flight) + answered >= 2 * concurrency:
            return False
        self._wanted = not self.taking.is_far_enough()
        reason = self._tools.database.call(self._tools.governor.hold)
        if reason not in (None, self._waiting_for):
            # Told at the next look, not at the next heartbeat
            self._waiting_for, self._renew_at = reason, 0.0
        return self._wanted and reason is None

    def _wait(self) -> None:
        """For an answer or for the end of a commit, and no longer than there is nothing else to do."""
        waited: list[futures.Future[Any]] = [*self._in_flight]
        if self._writing is not None:
            waited.append(self._writing.seconds)
        if not waited:
            # The database is spared, or the end was reached
            self._stop.wait(_LOOK_SECONDS if self._wanted and self.taking.held else 0.0)
            return
        is_lonely = self._is_lonely()
        done, _ = futures.wait(
            waited, _LONELY_SECONDS if is_lonely else _LOOK_SECONDS, futures.FIRST_COMPLETED
        )
        for future in done:
            if (sent := self._in_flight.pop(future, None)) is not None:
                self._answered.append((*sent, future))
        if is_lonely and not done:
            while self._is_lonely() and self.taking.take_along():
                self._fill()

    def _is_lonely(self) -> bool:
        """Whether nothing but the provider's own time is waited for, and there is room for more of it."""
        return (
            self._wanted
            and self._waiting_for is None
            and bool(self._in_flight)
            and self.taking.may_take_along
            and len(self._in_flight) < self._tools.settings.embed_concurrency
        )

    def _settle(self) -> None:
        """What became of the commit under way, where it is over."""
        if self._writing is None or not self._writing.seconds.done():
            return
        written, self._writing = self._writing, None
        try:
            self._tools.governor.wrote(written.seconds.result())
            if written.fault is not None:
                raise written.fault
            self.taking.committed(written.held, written.documents)
            self._waiting_for = None
        except Exception as error:
            self._stop_for(error, written.held)

    def _commit_next(self) -> None:
        """Hand an answer to the writer, who takes one at a time. Where he is idle, no answer is left waiting."""
        while self._writing is None and self._answered:
            held, batch, future = self._answered.popleft()
            try:
                answers = future.result()
            except Exception as error:
                self._stop_for(error, held)
                continue
            seconds = self._tools.writer.commit(self._migration, held.claim, batch, answers)
            held.duplicates.answer(batch.groups, [text.too_long for text in batch.texts], seconds)
            fault = answers[-1].fault if answers else None
            self._writing = Writing(held, batch.documents, fault, seconds)

    def _stop_for(self, fault: Exception, held: Held) -> None:
        """The first fault counts; no new request, but the answers on their way are paid for."""
        if self._fault is None:
            self._fault, self._charged = fault, held.claim
        self._wanted = False

    def _look_up(self) -> None:
        """The heartbeat, and whether this worker should leave."""
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + self._tools.settings.chunk_lease_seconds / 3
            wanted = self.taking.renew(self._waiting_for)
            self._tools.tally.write(self._tools.database)
            self._wanted = self._wanted and wanted
        if now >= self._ends_at:
            self._wanted = False
        if drain.requested():
            self._leave(now)
        if not self._wanted:
            # Answers on their way are waited for; faults that may pass are not, and what lies ready is not sent
            self._stop.set()
            self._in_flight = {sent: batch for sent, batch in self._in_flight.items() if not sent.cancel()}

    def _leave(self, now: float) -> None:
        """Shutdown: no request any more, and no waiting for answers after DRAIN_SECONDS."""
        if self._leaves_at is None:
            self._wanted = False
            self._leaves_at = now + DRAIN_SECONDS
        elif now >= self._leaves_at:
            self._in_flight.clear()

    def _note_wait(self, reason: str, seconds: float) -> None:
        self._waiting_for = f"{reason.rstrip('.')}; trying again in {seconds:.0f} s"
