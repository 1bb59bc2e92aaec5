"""The quota in a real Redis: shared by everybody who asks."""

import threading
import time

import pytest
import redis

from config.settings import Settings
from orchestrator.embedded.stack import Stack
from reembed import errors
from workers import quota
from workers.quota import Quota


def settings_with(stack: Stack, **limits: int) -> Settings:
    environment = {name.lower(): value for name, value in stack.environment("any").items()}
    return Settings.model_validate({**environment, **limits})


@pytest.fixture(autouse=True)
def _empty(stack: Stack) -> None:
    with redis.Redis.from_url(stack.redis.url(1)) as client:
        client.flushdb()


def test_requests_beyond_the_burst_wait_in_the_order_in_which_they_asked(stack: Stack) -> None:
    # Two a second: two at once, then one each half second, whoever asks
    first = Quota.of(settings_with(stack, embed_requests_per_minute=120))
    second = Quota.of(settings_with(stack, embed_requests_per_minute=120))
    waits = [quota.reserve(1) for _ in range(3) for quota in (first, second)]
    first.close()
    second.close()
    assert waits == pytest.approx([0, 0, 0.5, 1.0, 1.5, 2.0], abs=0.1)


def test_tokens_are_limited_as_well_as_requests(stack: Stack) -> None:
    own = Quota.of(settings_with(stack, embed_requests_per_minute=60_000, embed_tokens_per_minute=60_000))
    waits = [own.reserve(tokens) for tokens in (1_000, 5_000, 1)]
    own.close()
    assert waits == pytest.approx([0, 5, 5], abs=0.1)


def test_a_wait_ends_at_once_when_the_worker_has_to_leave(stack: Stack) -> None:
    own = Quota.of(settings_with(stack, embed_requests_per_minute=1))
    own.reserve(1)
    stop, told = threading.Event(), []
    began = time.monotonic()

    def leave(reason: str, seconds: float) -> None:
        told.append(reason)
        stop.set()

    # And says so: a request that was not waited for must not be sent
    with pytest.raises(errors.Transient):
        own.take(1, stop, leave)
    own.close()
    assert told == ["the quota, or a pause that the provider asked for"]
    assert time.monotonic() - began < 5


def test_a_pause_that_one_worker_was_asked_for_holds_for_all_and_the_longest_counts(stack: Stack) -> None:
    first, second = Quota.of(settings_with(stack)), Quota.of(settings_with(stack))
    assert second.reserve(1) == 0
    first.pause(20)
    first.pause(2)
    assert second.reserve(1) == pytest.approx(20, abs=0.5)
    first.close()
    second.close()


def test_a_reservation_made_before_a_pause_waits_for_its_end_too(stack: Stack) -> None:
    own = Quota.of(settings_with(stack, embed_requests_per_minute=120))
    own.reserve(1)
    own.reserve(1)
    waits: list[float] = []

    def note(reason: str, seconds: float) -> None:
        if not waits:
            own.pause(1.5)
        waits.append(seconds)

    own.take(1, threading.Event(), note)
    own.close()
    assert waits == pytest.approx([0.5, 1.0], abs=0.2)


def test_a_redis_that_does_not_answer_holds_up_nobody_unless_there_are_limits() -> None:
    away = quota.connect("redis://127.0.0.1:1/0")
    without, limited = Quota(away, 0, 0), Quota(away, 10, 0)
    without.pause(5)
    assert without.reserve(1) == 0
    with pytest.raises(errors.ProviderUnavailable, match="the quota cannot be read from Redis"):
        limited.reserve(1)
    away.close()


def test_a_request_that_is_not_sent_after_all_gives_its_share_to_the_next(stack: Stack) -> None:
    own = Quota.of(settings_with(stack, embed_requests_per_minute=60))
    assert [own.reserve(1) for _ in range(5)][-1] > 2
    for _ in range(5):
        own.give_back(1)
    assert own.reserve(1) == 0
    own.close()
