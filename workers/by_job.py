"""A chunk by a job: PROVIDER_MODE=batch. What a task does about it each time the chunk is claimed.

1. Texts that have no vector are written to a file, one a line, and uploaded; a job is made of it (submitting.py). The
   ledger has the job before the provider has, with a key that goes along.
2. The chunk is given back. The schedule has somebody look at the job again, until it has ended (following.py).
3. Its answers are downloaded, and the ordinary loop reads them where it would ask the provider (answers.py): they are
   written, fenced and refused as any answer is.
4. Then the job has ended in the ledger too, and its files are deleted. What is left in the chunk goes by another job;
   what fits one request is asked for at once, and so is what was written meanwhile.

A worker that dies leaves a chunk whose lease runs out. Who claims it finds the job, by its name or by its key, and goes
on with it.
"""

from reembed import settings
from reembed.database import chunks, jobs, ledger
from workers.following import Following
from workers.keeping import Leaving
from workers.submitting import Submitting
from workers.telling import Telling
from workers.tools import Tools


def proceed(
    tools: Tools, migration: ledger.Migration, claim: chunks.Claim, model: settings.Model, telling: Telling
) -> int | None:
    """Take the chunk as far as it goes by jobs: how many texts came by them, the rest being to be asked for now.

    None: this worker has to leave.

    Raises at_provider.Waiting where the provider has the next word, and what Loop.run, jobs and the budget raise.
    """
    if claim.side != "new":
        return 0
    came = 0
    try:
        job = tools.database.call(lambda connection: jobs.open_of(connection, claim))
        if job is not None:
            # Whatever the mode is by now: it is paid for
            came = Following(tools, migration, claim, model, telling).follow(job)
        if tools.settings.provider_mode == "batch" and not claim.catch_up:
            Submitting(tools, migration, claim, model).submit()
    except Leaving:
        return None
    return came
