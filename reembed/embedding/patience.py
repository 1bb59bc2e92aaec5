"""Patience: a passing fault is waited out, and while it is, somebody can read why."""

import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity

from reembed import errors

Result = TypeVar("Result")

# Seconds. Full jitter: a wait is drawn between 0 and a bound that doubles from the first to the longest, so
# that workers which failed together do not come back together
_FIRST_BACKOFF = 1.0
_LONGEST_BACKOFF = 60.0


class Patience:
    """Calls a function again while it raises errors.Transient, for a bounded time.

    Threads may share it. `stop` ends a wait at once; `on_wait(reason, seconds)` is told before each wait.
    """

    def __init__(
        self, total_seconds: float, stop: threading.Event, on_wait: Callable[[str, float], None]
    ) -> None:
        self._total_seconds = total_seconds
        self._stop = stop
        self._on_wait = on_wait
        self._backoff = tenacity.wait_random_exponential(multiplier=_FIRST_BACKOFF, max=_LONGEST_BACKOFF)

    def call(self, function: Callable[..., Result], *args: object) -> Result:
        """What the function returns at last.

        Raises the last errors.Transient once `stop` is set, or as soon as the next wait would end after
        `total_seconds`: a provider that asks for an hour is not waited for in vain. Every other error passes
        straight through.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(errors.Transient),
            wait=self._seconds,
            stop=tenacity.stop_before_delay(self._total_seconds) | tenacity.stop_when_event_set(self._stop),
            before_sleep=self._wait,
            sleep=_slept_already,
            reraise=True,
        )
        return retrying(function, *args)

    def _seconds(self, state: tenacity.RetryCallState) -> float:
        """Never sooner than the provider asks, and jittered beyond: it asked everybody for the same time."""
        return (_fault(state).retry_after or 0.0) + self._backoff(state)

    def _wait(self, state: tenacity.RetryCallState) -> None:
        """Wait here, not in tenacity's `sleep`: after a stop it would try once more, and hold up the exit."""
        fault = _fault(state)
        self._on_wait(str(fault), state.upcoming_sleep)
        if self._stop.wait(state.upcoming_sleep):
            raise fault


def _slept_already(_seconds: float) -> None:
    """Patience._wait has slept."""


def _fault(state: tenacity.RetryCallState) -> errors.Transient:
    """The fault that is being waited out; tenacity types it more widely."""
    fault = state.outcome.exception() if state.outcome else None
    assert isinstance(fault, errors.Transient)  # noqa: S101  only these are retried
    return fault
