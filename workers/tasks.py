"""The door: Celery in, a plain function behind it. What happens to a task is told to whoever watches events: Flower."""

import functools
import logging
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.worker.request import Request

from config.celery_app import app
from config.settings import Settings
from reembed.database import connection
from reembed.events import Event
from workers import backfill, logs, tools, tracing
from workers.telling import Telling

if TYPE_CHECKING:
    from celery.app.task import Task

_log = logging.getLogger(__name__)


class ChunkRequest(Request):
    """A chunk that failed is a failure in Flower, with its reason. For the chord it is a part that came in, as any."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  Celery's name
        """Called by the worker for each change of a task's state."""
        became = str(fields.get("result")).strip("'\"")
        if type == "task-succeeded" and became.startswith(backfill.FAILED):
            reason = became.removeprefix(backfill.FAILED)
            super().send_event("task-failed", exception=reason, traceback="")
        else:
            super().send_event(type, **fields)


@signals.worker_process_init.connect
def _begin_traces(**_: Any) -> None:
    tracing.begin(Settings.load())


@signals.worker_process_shutdown.connect
def _end_traces(**_: Any) -> None:
    tracing.end()


@app.task(name="reembed.embed_chunk", bind=True, Request=ChunkRequest)
def embed_chunk(task: "Task[[int, int], str]", migration_id: int, number: int) -> str:
    """Embed one chunk; what became of it, for a person to read.

    Never raises: a header task that fails would cost the chord its callback. What happened is in the ledger; if even
    that could not be written, the lease runs out and the schedule sees it.
    """
    telling = Telling(functools.partial(_send_progress, str(task.request.id), str(task.request.hostname)))
    try:
        return backfill.embed_chunk(tools.of_this_process(), migration_id, number, telling)
    except Exception as error:
        logs.failure(_log, "task_failed", error, migration=migration_id, chunk=number)
        return backfill.FAILED + connection.in_one_line(error)


def _send_progress(task_id: str, worker: str, done: int, total: int) -> None:
    """Flower shows it where it shows a task's keyword arguments, of which this one has none."""
    try:
        with app.events.default_dispatcher(hostname=worker) as dispatcher:
            dispatcher.send(
                "task-progress",
                uuid=task_id,
                retry=False,
                kwargs=f"{done:,} of {total:,}",
                done=done,
                total=total,
            )
    except Exception as error:
        # Nobody's work depends on it
        _log.debug(Event("progress_untold", reason=connection.in_one_line(error)))
