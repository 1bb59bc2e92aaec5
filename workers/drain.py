"""A worker that was asked to stop (SIGTERM) leaves its chunk in good order.

Celery's warm shutdown waits for the running task, however long that takes, and its prefork children never see the
signal. So the parent raises a flag in shared memory, and the loop of batches looks at it.
"""

import signal
from multiprocessing import sharedctypes
from typing import Any

from celery import signals

# Shared with every child, because they are forked after this module is imported
_requested = sharedctypes.RawValue("b", 0)


@signals.worker_shutting_down.connect
def _request(**_: Any) -> None:
    _requested.value = 1


@signals.worker_process_init.connect
def _stay(**_: Any) -> None:
    """A child ends when its parent says so. honcho and systemd send SIGTERM to the whole group, children included."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def requested() -> bool:
    return bool(_requested.value)
