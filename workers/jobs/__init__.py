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
