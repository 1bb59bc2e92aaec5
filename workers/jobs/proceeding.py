"""What a task does about a claimed chunk before the loop: follow the job that there is, make the next."""

from reembed.database import jobs
from workers.attempt import Attempt
from workers.jobs.following import Following
from workers.jobs.keeping import Leaving
from workers.jobs.submitting import Submitting
from workers.telling import Telling
from workers.tools import Tools


def proceed(tools: Tools, attempt: Attempt, telling: Telling) -> int | None:
    """Take the chunk as far as it goes by jobs: how many texts came by them, the rest being to be asked for now.

    None: this worker has to leave.

    Raises waiting.Waiting where the provider has the next word, and what Loop.run, jobs and the budget raise.
    """
    claim = attempt.claim
    if claim.side != "new":
        return 0
    came = 0
    try:
        job = tools.database.call(lambda connection: jobs.open_of(connection, claim))
        if job is not None:
            # Whatever the mode is by now: it is paid for
            came = Following(tools, attempt, telling).follow(job)
        if tools.settings.provider_mode == "batch" and not claim.catch_up:
            Submitting(tools, attempt).submit()
    except Leaving:
        return None
    return came
