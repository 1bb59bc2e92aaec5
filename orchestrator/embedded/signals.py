"""Leave every `with` block on SIGTERM and SIGHUP, as Python does by itself on SIGINT alone."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What a supervisor sends, and what a terminal sends when it is closed."""


@contextmanager
def leave_in_order() -> Iterator[None]:
    """While open, these signals raise SystemExit(128 + number) in the main thread.

    Another thread may set no handler: there nothing changes. What is ignored, as under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _exit)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
