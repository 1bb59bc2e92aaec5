"""Submitting a job: what is pending in a chunk, as a file of lines at the provider."""

import functools
import logging
import math
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from reembed import errors
from reembed.database import jobs, limits
from reembed.embedding import job_lines
from reembed.embedding.bisection import HARMLESS
from reembed.embedding.jobs import MOST_BYTES, MOST_TEXTS, Jobs
from reembed.events import Event
from workers import asking, batches, budget
from workers.attempt import Attempt
from workers.duplicates import Duplicates
from workers.jobs import waiting
from workers.jobs.keeping import Keeper
from workers.tools import Tools

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Written:
    """A file of texts."""

    texts: int
    tokens: int
    """What it may cost at the most, in tokens at the full price."""
    left_tokens: int | None
    """The same for the first text that found no room; None: all are in it."""


class Submitting:
    """Of one attempt at a chunk."""

    def __init__(self, tools: Tools, attempt: Attempt) -> None:
        self._tools = tools
        self._call = tools.database.call
        self._migration, self._claim, self._model = attempt.migration, attempt.claim, attempt.model
        self._provider = tools.provider(attempt.model, attempt.claim.side)
        self._jobs = Jobs(self._provider)
        self._keeper = Keeper(tools, attempt.claim)

    def submit(self) -> None:
        """Returns where so little is pending that it is better asked for now; otherwise raises waiting.Waiting.

        Also raises limits.BudgetReached, and what Jobs, asking.ask and Keeper.aside raise.
        """
        self._refuse_more()
        room = self._room()
        with tempfile.TemporaryFile() as file:
            written = self._write(file, room.free_tokens if room else None)
            if written.left_tokens is None and written.texts <= self._tools.settings.embed_batch_size:
                return
            if room is not None and not written.texts:
                self._wait_for_money(room, written.left_tokens or 0)
            # Whether key, model and width are right is better seen before a day has passed
            self._keeper.aside(self._probe)
            job = self._begin(written, is_limited=room is not None)
            file.seek(0)
            name = self._keeper.aside(lambda: self._jobs.upload(file))
            found = self._keeper.aside(lambda: self._jobs.create(name, str(job.key)))
        self._name(job, found.id)
        _log.info(
            Event(
                "job_made", migration=self._claim.migration_id, chunk=self._claim.number,
                job=found.id, texts=written.texts,
            )
        )  # fmt: skip
        raise waiting.until_the_next_look(self._tools.settings, waiting.answered(job, found))

    def _refuse_more(self) -> None:
        """Raises waiting.Waiting where no further job is to be made now."""
        there = self._call(lambda connection: jobs.count(connection, self._claim.migration_id))
        if there.jobs >= self._tools.settings.provider_jobs:
            raise self._no_place()
        if there.jobs and self._call(
            lambda connection: limits.enough_with(connection, self._claim.migration_id, there.texts)
        ):
            raise waiting.until_the_next_look(self._tools.settings, waiting.ENOUGH)

    def _room(self) -> limits.Room | None:
        """What is left of the budget; None without one."""
        if self._migration.budget_usd is None:
            return None
        return self._call(lambda connection: limits.room(connection, self._claim.migration_id))

    def _wait_for_money(self, room: limits.Room, wanted: int) -> None:
        if room.has_room(wanted):
            raise waiting.until_the_next_look(self._tools.settings, budget.WAITING)
        reached = room.reached(wanted)
        self._call(
            lambda connection: limits.pause(connection, self._claim.migration_id, wanted, str(reached))
        )
        raise reached

    def _write(self, file: BinaryIO, most_tokens: int | None) -> _Written:
        """Fill the file with pending texts, up to what a provider takes and the budget buys."""
        share = self._tools.settings.provider_job_price_share
        most_texts = min(MOST_TEXTS, MOST_BYTES // job_lines.answer_bytes(self._model.dimensions))
        seen: set[str] = set()
        tokens = size = 0
        for text in self._texts():
            name = job_lines.name(text)
            if name in seen:
                continue
            try:
                line = job_lines.encode(text, self._model.name, self._provider.dimensions)
            except errors.RequestRefused:
                # Asked for alone in the end, which says whose fault it is
                continue
            more = math.ceil(budget.most_tokens(text) * share)
            is_dear = most_tokens is not None and tokens + more > most_tokens
            if is_dear or len(seen) == most_texts or size + len(line) > MOST_BYTES:
                return _Written(len(seen), tokens, more)
            seen.add(name)
            size += file.write(line)
            tokens += more
        return _Written(len(seen), tokens, None)

    def _texts(self) -> Iterator[str]:
        """What the loop would send, each with its prefix."""
        pending = batches.of_chunk(
            self._tools.database, self._migration, self._claim, self._model, self._tools.settings,
            ruler=self._tools.ruler(self._model), quota=self._tools.quota(self._claim.side), duplicates=Duplicates(),
        )  # fmt: skip
        for batch in pending:
            self._keeper.keep()
            yield from (self._model.document_prefix + part for part in batch.sent)

    def _probe(self) -> None:
        asking.ask(
            self._provider, self._tools.quota(self._claim.side), self._tools.ruler(self._model), [HARMLESS], 0,
            stop=threading.Event(), on_wait=lambda reason, seconds: None,
            count=functools.partial(self._tools.tally.count, self._claim.migration_id),
        )  # fmt: skip

    def _begin(self, written: _Written, *, is_limited: bool) -> jobs.Open:
        key = uuid.uuid4()
        job = self._call(
            lambda connection: jobs.begin(
                connection, self._claim, key,
                texts=written.texts, reserve=written.tokens if is_limited else None,
                most=self._tools.settings.provider_jobs,
            )
        )  # fmt: skip
        if job is None:
            raise self._no_place()
        return job

    def _name(self, job: jobs.Open, name: str) -> None:
        try:
            self._call(lambda connection: jobs.name(connection, self._claim, job, name))
        except errors.LeaseLost:
            # Whoever has the chunk by now either finds the job by its key, or has looked before it was there
            if self._call(lambda connection: jobs.has_ended(connection, job)):
                self._jobs.cancel(name)
            raise

    def _no_place(self) -> waiting.Waiting:
        reason = waiting.NO_PLACE.format(jobs=self._tools.settings.provider_jobs)
        return waiting.until_the_next_look(self._tools.settings, reason)
