"""The door: Celery in, a plain function behind it."""

import logging

from config.celery_app import app
from workers import backfill, logs, tools

_log = logging.getLogger(__name__)


@app.task(name="reembed.embed_chunk")
def embed_chunk(migration_id: int, number: int) -> None:
    """Embed one chunk. Never raises: a header task that fails would cost the chord its callback.

    What happened is in the ledger; if even that could not be written, the lease runs out and the schedule sees it.
    """
    try:
        backfill.embed_chunk(tools.of_this_process(), migration_id, number)
    except Exception as error:
        logs.failure(_log, "task_failed", error, migration=migration_id, chunk=number)
