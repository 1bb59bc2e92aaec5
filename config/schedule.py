"""What Celery beat does, so that nobody has to remember it."""

from typing import Any


def entries(every_seconds: int, lease_seconds: float, queue: str) -> dict[str, Any]:
    """Two entries. One: every migration that is under way takes its next step, whatever that is.

    Rescue of dead workers' chunks, re-runs of failed ones, lost messages, the next wave, a callback that never came,
    catching up: all are cases of `advance`. The other looks for lapsed leases alone, which costs next to nothing, so
    that a dead worker's chunk is another's a third of a lease later and does not wait for the next step. A tick that
    nobody took before the next one expires, and two beats at once do no harm.
    """
    return {
        "advance every migration": _entry("reembed.advance_all", every_seconds, queue),
        "rescue chunks of dead workers": _entry("reembed.rescue_all", max(lease_seconds / 3, 1.0), queue),
    }


def _entry(task: str, every_seconds: float, queue: str) -> dict[str, Any]:
    return {
        "task": task,
        "schedule": every_seconds,
        # What Flower shows as its arguments
        "options": {
            "expires": every_seconds,
            "queue": queue,
            "argsrepr": "every migration",
            "kwargsrepr": "",
        },
    }
