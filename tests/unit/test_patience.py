"""Patience: what is tried again, how long is waited, and what ends it."""

import threading
import time
from collections.abc import Callable

import pytest

from reembed import errors
from reembed.embedding import patience


class Clockless(threading.Event):
    """A stop that is never set and never waits, but remembers how long it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        return False


def failing(*faults: Exception) -> Callable[[str], str]:
    """Raises one fault a call, then returns its argument."""
    left = list(faults)

    def function(argument: str) -> str:
        if left:
            raise left.pop(0)
        return argument

    return function


def ignore(_reason: str, _seconds: float) -> None:
    pass


def test_a_passing_fault_is_waited_out_and_the_reason_is_told_before_each_wait() -> None:
    stop = Clockless()
    told: list[tuple[str, float]] = []
    patient = patience.Patience(600, stop, lambda reason, seconds: told.append((reason, seconds)))
    overloaded = errors.ProviderOverloaded(reason="slow down", retry_after=8)
    unavailable = errors.ProviderUnavailable(reason="status 503, and not a word")
    assert patient.call(failing(overloaded, unavailable), "answer") == "answer"
    assert [reason for reason, _ in told] == [
        "The provider asks for patience: slow down.",
        "The provider did not answer properly: status 503, and not a word.",
    ]
    assert [seconds for _, seconds in told] == stop.waits


def test_a_wait_is_never_shorter_than_the_provider_asks_and_jittered_beyond() -> None:
    stop = Clockless()
    patient = patience.Patience(600, stop, ignore)
    for _ in range(50):
        patient.call(failing(errors.ProviderUnavailable(reason="busy", retry_after=8)), "")
    assert all(8 <= wait <= 9 for wait in stop.waits)
    assert len(set(stop.waits)) > 40


def test_waits_grow_to_a_minute_at_most() -> None:
    stop = Clockless()
    patience.Patience(600, stop, ignore).call(failing(*[errors.ProviderUnavailable(reason="busy")] * 40), "")
    assert all(wait <= 2**number for number, wait in enumerate(stop.waits))
    assert 30 < max(stop.waits) <= 60


@pytest.mark.parametrize(
    "error",
    [
        errors.Broken(reason="no such model"),
        errors.RequestRefused(reason="too long"),
        errors.LeaseLost(migration=1, chunk=2),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_other_error_passes_straight_through(error: Exception) -> None:
    stop = Clockless()
    with pytest.raises(type(error)) as caught:
        patience.Patience(600, stop, ignore).call(failing(error), "")
    assert caught.value is error
    assert stop.waits == []


def test_a_wait_beyond_the_total_time_is_not_begun() -> None:
    stop = Clockless()
    fault = errors.ProviderOverloaded(reason="come back tomorrow", retry_after=86_400)
    with pytest.raises(errors.ProviderOverloaded) as caught:
        patience.Patience(600, stop, ignore).call(failing(fault), "")
    assert caught.value is fault
    assert stop.waits == []


def test_the_last_fault_is_raised_after_the_total_time() -> None:
    def function() -> None:
        time.sleep(0.06)
        calls.append(errors.ProviderUnavailable(reason=f"call {len(calls) + 1}"))
        raise calls[-1]

    calls: list[errors.ProviderUnavailable] = []
    with pytest.raises(errors.ProviderUnavailable) as caught:
        patience.Patience(0.05, Clockless(), ignore).call(function)
    assert str(caught.value) == "The provider did not answer properly: call 1."


def test_a_stop_ends_the_wait_at_once_and_nothing_is_tried_again() -> None:
    stop = threading.Event()
    fault = errors.ProviderOverloaded(reason="slow down", retry_after=60)
    patient = patience.Patience(600, stop, lambda _reason, _seconds: stop.set())
    began = time.monotonic()
    with pytest.raises(errors.ProviderOverloaded) as caught:
        patient.call(failing(fault), "never returned")
    assert caught.value is fault
    assert time.monotonic() - began < 5


def test_a_fault_after_a_stop_is_raised_without_a_wait() -> None:
    stop = threading.Event()
    stop.set()
    told: list[str] = []
    patient = patience.Patience(600, stop, lambda reason, _seconds: told.append(reason))
    with pytest.raises(errors.ProviderUnavailable):
        patient.call(failing(errors.ProviderUnavailable(reason="busy")), "")
    assert told == []
