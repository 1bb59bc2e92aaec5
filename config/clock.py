"""What a running process takes for the time: the answer of workers and of beat to one question, over remote control.

Imported by the processes that answer it; see orchestrator/doctor/roll_call.py for who asks.
"""

import time
from typing import Any

from celery import beat, signals
from celery.worker.control import inspect_command

QUESTION = "reembed_clock"


def _tell(_state: Any, **_: Any) -> dict[str, float]:
    """Seconds since 1970, as this machine has them."""
    return {"seconds": time.time()}


inspect_command(name=QUESTION)(_tell)


@signals.beat_init.connect
def _answer_in_beat(sender: Any, **_: Any) -> None:
    """Beat makes itself a node that answers `ping` alone; here it gets one that knows this answer too."""
    if sender.remote_control:
        node = beat.BeatPidbox(sender)  # type: ignore[attr-defined]  # the stubs are older
        node.node.handlers[QUESTION] = _tell
        node.start()
        # Beat makes no second one, and stops this one when it ends
        sender.remote_control, sender._pidbox = False, node
