"""Following a job: a look at it, and once it has ended, its answers into the table."""

import functools
import logging
import math
import tempfile

from reembed import errors
from reembed.database import jobs
from reembed.embedding.jobs import Job, JobRefused, Jobs
from reembed.events import Event
from workers.attempt import Attempt
from workers.jobs import waiting
from workers.jobs.answers import Answers
from workers.jobs.keeping import Keeper, Leaving
from workers.loop import Loop
from workers.telling import Telling
from workers.tools import Tools

_log = logging.getLogger(__name__)


class JobUnanswered(errors.ReembedError):
    """Job {name} ended as {status}, and the provider answered not one of its texts."""


class Following:
    """Of one attempt at a chunk."""

    def __init__(
        self,
        tools: Tools,
        attempt: Attempt,
        telling: Telling,
    ) -> None:
        self._tools = tools
        self._attempt = attempt
        self._claim = attempt.claim
        self._telling = telling
        self._provider = tools.provider(attempt.model, attempt.claim.side)
        self._jobs = Jobs(self._provider)
        self._keeper = Keeper(tools, attempt.claim)

    def follow(self, job: jobs.Open) -> int:
        """Returns once the job has ended, and all that is of use in it is committed: how many vectors it gave.

        Raises waiting.Waiting while it has not; after it what its answers were no good for: errors.Broken,
        errors.Transient, JobUnanswered. Keeper.aside and Loop.run raise through.
        """
        found = self._find(job)
        if found is None:
            # A job that the provider has forgotten may have been billed; what has no name has never been there
            self._end(job, tokens=0, charged=job.reserved if job.name else 0)
            return 0
        if not found.ended:
            raise waiting.until_the_next_look(self._tools.settings, waiting.answered(job, found))
        answers = self._collect(job, found)
        self._jobs.delete(found.question, *found.answers)
        _log.info(
            Event(
                "job_ended", migration=self._claim.migration_id, chunk=self._claim.number, job=found.id,
                status=found.status, texts=job.texts, vectors=answers.vectors, refused=answers.refusals,
            )
        )  # fmt: skip
        fault = _fault(found, answers)
        if fault is not None:
            raise fault
        return answers.vectors

    def _find(self, job: jobs.Open) -> Job | None:
        name = job.name
        if name is not None:
            return self._keeper.aside(lambda: self._jobs.look(name))
        found = self._keeper.aside(lambda: self._jobs.find(str(job.key), job.created_at))
        if found is not None:
            self._tools.database.call(lambda connection: jobs.name(connection, self._claim, job, found.id))
        return found

    def _collect(self, job: jobs.Open, found: Job) -> Answers:
        """Commit what was answered, and end the job in the ledger. Raises Leaving where the rest has to wait."""
        with tempfile.TemporaryFile() as file:
            for name in found.answers:
                self._keeper.aside(functools.partial(self._jobs.download, name, file))
            answers = self._keeper.aside(lambda: Answers(file, self._provider))
            if answers.vectors:
                loop = Loop(self._tools, self._attempt, self._telling, answers)
                loop.run()
                if loop.taking.left:
                    raise Leaving
        share = self._tools.settings.provider_job_price_share
        self._end(job, tokens=answers.tokens, charged=math.ceil(answers.tokens * share))
        return answers

    def _end(self, job: jobs.Open, *, tokens: int, charged: int) -> None:
        self._tools.database.call(
            lambda connection: jobs.end(connection, self._claim, job, tokens=tokens, charged=charged)
        )


def _fault(found: Job, answers: Answers) -> errors.ReembedError | None:
    """What an ended job means for the migration, beyond the answers that were of use."""
    if found.fault or answers.fault:
        return found.fault or answers.fault
    if found.status == "cancelled":
        return JobRefused(reason=f"somebody cancelled job {found.id}")
    if answers.vectors:
        return None
    if answers.refusals:
        # A harmless text was taken before the job was made, so each may be to blame; all of them hardly are
        return JobRefused(
            reason=f"not one of the {answers.refusals:,} texts of job {found.id} is to its taste"
        )
    return JobUnanswered(name=found.id, status=found.status)
