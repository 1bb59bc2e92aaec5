"""A chunk whose next word is the provider's: why it waits, and for how long."""

from datetime import UTC, datetime

from config.settings import Settings
from reembed import errors
from reembed.database import jobs
from reembed.embedding.jobs import Job

_ANSWERED = "job {name} is at the provider: {answered:,} of {texts:,} texts answered after {minutes:,.0f} min"
NO_PLACE = "{jobs} jobs are at the provider, and PROVIDER_JOBS={jobs}"
ENOUGH = "enough for --until is at the provider"


class Waiting(errors.Transient):
    """{reason}"""


def until_the_next_look(environment: Settings, reason: str) -> Waiting:
    """Until somebody is to look again."""
    return Waiting(reason=reason, retry_after=environment.provider_job_look_seconds)


def answered(job: jobs.Open, found: Job) -> str:
    minutes = max((datetime.now(UTC) - job.created_at).total_seconds() / 60, 0)
    return _ANSWERED.format(name=found.id, answered=found.answered, texts=job.texts, minutes=minutes)
