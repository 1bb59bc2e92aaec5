"""What Celery beat does, so that nobody has to remember it."""

from typing import Any


def entries(every_seconds: int, queue: str) -> dict[str, Any]:
    """One entry: every migration that is under way takes its next step, whatever that is.

    Rescue of dead workers' chunks, re-runs of failed ones, lost messages, the next wave, a callback that never came,
    catching up: all are cases of `advance`. A tick that nobody took before the next one expires, and two beats at once
    do no harm.
    """
    return {
        "advance every migration": {
            "task": "reembed.advance_all",
            "schedule": every_seconds,
            # What Flower shows as its arguments
            "options": {
                "expires": every_seconds,
                "queue": queue,
                "argsrepr": "every migration",
                "kwargsrepr": "",
            },
        }
    }
