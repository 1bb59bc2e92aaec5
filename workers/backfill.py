"""One chunk, from claim to done: the loop of batches.

1. Claim the chunk: a lease, and an attempt number that fences every later write.
2. Keep up to EMBED_CONCURRENCY requests in flight, each in a thread; fetch the next page of pending documents only
   when there is room, so that memory does not grow with the chunk.
3. Commit each answer when it comes: vectors, refusals and progress in one statement. No transaction is open during a
   request, and an answer that was paid for is committed even if its neighbour failed.
4. Between answers: renew the lease, and look whether anybody wants this worker to leave (pause, shutdown, the end of
   its time slice). Leaving means: no new request, commit what is in flight, give the chunk back.
5. A fault is charged to whom it belongs: a provider's or a configuration's pauses the migration with the reason, a
   passing one gives the chunk back for later, everything else is a strike against the chunk.
"""

import logging
import time
from collections.abc import Sequence
from concurrent import futures

import psycopg
import tenacity
from psycopg import errors as pg

from reembed import errors, settings
from reembed.database import chunks, connection, documents, ledger
from reembed.embedding.bisection import Apart, embed_apart
from reembed.embedding.patience import Patience
from reembed.embedding.wire import Embedded
from workers import batches, drain, logs, sides
from workers.tools import Tools

_log = logging.getLogger(__name__)

# Seconds that one task works on a chunk before it gives it back, so that no task outlives its message's visibility
WORK_SECONDS = 600
# Seconds that passing faults of the provider are waited out inside a task; after that the chunk is put off
PATIENCE_SECONDS = 120
PUT_OFF_SECONDS = 30
# All workers pause for so long after a 429 that names no time
PAUSE_SECONDS = 1.0
# A worker that was told to stop waits this long for the answers in flight, then leaves without them
DRAIN_SECONDS = 7
# How often the loop looks up when no answer comes
_LOOK_SECONDS = 0.5


def embed_chunk(tools: Tools, migration_id: int, number: int) -> None:
    """Embed what is pending in one chunk. Raises nothing that the ledger can be told instead."""
    database, environment = tools.connection, tools.settings
    claim = chunks.claim(
        database, migration_id, number,
        owner=tools.owner, lease_seconds=environment.chunk_lease_seconds, max_strikes=environment.max_chunk_attempts,
    )  # fmt: skip
    if claim is None:
        _log.info("event=chunk_not_free migration=%s chunk=%s", migration_id, number)
        return
    migration = ledger.get(database, migration_id)
    model = sides.model(environment, migration, claim.side)
    if model is None:
        later = environment.rerun_failed_every_seconds
        chunks.give_back(database, claim, waiting_for=sides.NO_OLD_MODEL, retry_seconds=later)
        return
    try:
        if _Work(tools, migration, claim, model).run():
            chunks.finish(database, claim)
            # Whatever kept the migration waiting does not any more
            ledger.set_reason(database, migration_id, None)
            _log.info("event=chunk_done migration=%s chunk=%s", migration_id, number)
        else:
            chunks.give_back(database, claim)
            _log.info("event=chunk_given_back migration=%s chunk=%s", migration_id, number)
    except errors.LeaseLost as error:
        _log.warning("event=lease_lost reason=%r", str(error))
    except errors.Broken as error:
        stop_migration(tools, migration, claim, error)
    except errors.Transient as error:
        chunks.give_back(database, claim, waiting_for=str(error), retry_seconds=PUT_OFF_SECONDS)
        _log.warning("event=chunk_put_off migration=%s chunk=%s reason=%r", migration_id, number, str(error))
    except psycopg.OperationalError as error:
        # The ledger cannot be told. The lease runs out, and the schedule gives the chunk to another worker
        _log.warning("event=database_lost migration=%s chunk=%s reason=%r", migration_id, number, str(error))
    except Exception as error:
        if ledger.get(database, migration_id).state == "aborted":
            _log.info("event=migration_aborted migration=%s chunk=%s", migration_id, number)
            return
        chunks.fail(
            database, claim, error=connection.in_one_line(error),
            max_strikes=environment.max_chunk_attempts, retry_seconds=environment.rerun_failed_every_seconds,
        )  # fmt: skip
        logs.failure(_log, "chunk_failed", error, migration=migration_id, chunk=number)


def stop_migration(
    tools: Tools, migration: ledger.Migration, claim: chunks.Claim, error: errors.Broken
) -> None:
    """No document and no chunk is to blame: pause the backfill with the reason until a person mends the cause."""
    database = tools.connection
    chunks.give_back(
        database, claim, waiting_for=str(error), retry_seconds=tools.settings.rerun_failed_every_seconds
    )
    current = ledger.get(database, migration.id)
    if current.state == "backfilling":
        ledger.change_state(database, current, "paused", str(error))
    else:
        # Catching up beside a finished backfill: the flag stays where it is, and the chunk is tried again later
        reason = sides.OLD_MODEL_AWAY.format(error=error) if claim.side == "old" else str(error)
        ledger.set_reason(database, migration.id, reason)
    _log.error("event=migration_stopped migration=%s reason=%r", migration.id, str(error))


class _Work:
    """The loop of batches over one claimed chunk."""

    def __init__(
        self, tools: Tools, migration: ledger.Migration, claim: chunks.Claim, model: settings.Model
    ) -> None:
        self._tools = tools
        self._migration = migration
        self._claim = claim
        self._model = model
        self._provider = tools.provider(model, claim.side)
        self._quota = tools.quota(claim.side)
        self._patience = Patience(PATIENCE_SECONDS, tools.stop, self._note_wait)
        self._in_flight: dict[futures.Future[Apart], batches.Batch] = {}
        self._waiting_for: str | None = None
        self._fault: Exception | None = None
        self._wanted = True
        self._abandoned = False
        self._ends_at = time.monotonic() + WORK_SECONDS
        self._renew_at = 0.0

    def run(self) -> bool:
        """True when the end of the chunk was reached, False when the worker has to leave before.

        Raises the first fault, after what else was in flight has been committed.
        """
        waiting = batches.of_chunk(
            self._tools.connection, self._migration, self._claim, self._model, self._tools.settings
        )
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
        reason = self._tools.governor.hold(self._tools.connection)
        if reason not in (None, self._waiting_for):
            # Told at the next look, not at the next heartbeat
            self._waiting_for, self._renew_at = reason, 0.0
        return reason is None and len(self._in_flight) < self._tools.settings.embed_concurrency

    def _embed(self, batch: batches.Batch) -> Apart:
        """In a thread: one batch's answer, waiting out what passes."""

        def request(texts: Sequence[str]) -> Embedded:
            self._quota.take(batch.estimated_tokens, self._tools.stop, self._note_wait)
            try:
                return self._provider.embed_documents(texts)
            except errors.ProviderOverloaded as overload:
                # It was said to one worker and is meant for all
                self._quota.pause(overload.retry_after or PAUSE_SECONDS)
                raise

        return embed_apart(lambda texts: self._patience.call(request, texts), batch.texts)

    def _commit_answers(self) -> None:
        if not self._in_flight:
            self._tools.stop.wait(_LOOK_SECONDS)
        done, _ = futures.wait(self._in_flight, _LOOK_SECONDS, futures.FIRST_COMPLETED)
        for future in done:
            batch = self._in_flight.pop(future)
            try:
                self._commit_apart(batch.result(future.result()))
                self._waiting_for = None
            except Exception as error:
                # The first fault counts; no new request, but the answers on their way are paid for
                self._fault = self._fault or error
                self._wanted = False

    def _commit_apart(self, result: batches.Result) -> None:
        """Commit what the database takes. A row that a constraint or a trigger refuses is that document's own affair.

        A refused statement is halved until the document stands alone; it is recorded, and its neighbours are written.
        """
        try:
            self._commit(result)
        except (pg.IntegrityError, pg.DataError, pg.RaiseException) as error:
            if len(result.embedded) > 1:
                for half in result.halves():
                    self._commit_apart(half)
                return
            # The name of the rule, and not what PostgreSQL says: its words may quote the row
            rule = error.diag.constraint_name or error.sqlstate
            self._commit(
                result.refused_for(f"The database refuses its vector ({type(error).__name__}: {rule}).")
            )

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(
            (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable)
        ),
        wait=tenacity.wait_random_exponential(0.1, 2),
        stop=tenacity.stop_after_attempt(5),
        reraise=True,
    )
    def _commit(self, result: batches.Result) -> None:
        """One statement, so it may be repeated as it is when PostgreSQL took the application's side in a deadlock."""
        with self._tools.governor.writing():
            documents.write_batch(
                self._tools.connection, self._migration, self._claim, result.embedded, result.vectors, result.refused,
                tokens=result.tokens, lease_seconds=self._tools.settings.chunk_lease_seconds,
            )  # fmt: skip

    def _look_up(self) -> None:
        """The heartbeat, and whether this worker should leave."""
        now = time.monotonic()
        if now >= self._renew_at:
            lease = self._tools.settings.chunk_lease_seconds
            self._renew_at = now + lease / 3
            wanted = chunks.renew(
                self._tools.connection, self._claim, lease_seconds=lease, waiting_for=self._waiting_for
            )
            self._wanted = self._wanted and wanted
        if now >= self._ends_at:
            self._wanted = False
        if drain.requested():
            self._leave(now)

    def _leave(self, now: float) -> None:
        """Shutdown: stop waiting for faults to pass at once, and for answers after DRAIN_SECONDS."""
        self._wanted = False
        if not self._tools.stop.is_set():
            self._tools.stop.set()
            self._ends_at = now + DRAIN_SECONDS
        elif now >= self._ends_at and self._in_flight:
            self._in_flight.clear()
            self._abandoned = True

    def _note_wait(self, reason: str, seconds: float) -> None:
        self._waiting_for = f"{reason.rstrip('.')}; trying again in {seconds:.0f} s"
