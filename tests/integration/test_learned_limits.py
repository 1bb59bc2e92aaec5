"""Limits that nobody set: announced by the provider's headers, or found out by being refused."""

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from orchestrator.embedded.stack import Stack
from reembed.embedding.announced import NOTHING, Limits
from workers.quota import Quota, Share, connect

SPREAD = 60.7 / 60


@pytest.fixture
def made(stack: Stack) -> Iterator[Callable[..., Quota]]:
    """Makes quotas, as many workers as wanted, in a Redis that knows nothing yet."""
    client = connect(stack.redis.url(1))
    client.flushdb()
    yield lambda requests=0, tokens=0: Quota(client, requests, tokens)
    client.close()


def answered(own: Quota, limits: Limits = NOTHING, times: int = 1) -> None:
    for _ in range(times):
        own.settle(Share(1, own.reserve(1)[1]), 1, limits)


def pace(own: Quota) -> float:
    """Requests a minute that more would be sent at, once a burst is over."""
    waits = [own.reserve(1)[0] for _ in range(20)]
    return 60 * 10 / (waits[19] - waits[9])


def test_an_announced_limit_holds_for_workers_that_have_not_heard_of_it(made: Callable[..., Quota]) -> None:
    answered(made(), Limits(requests=60, requests_left=59))
    assert pace(made()) == pytest.approx(60 / SPREAD, rel=0.02)


@pytest.mark.parametrize(("is_set", "announced", "is_kept"), [(600, 60, 60), (60, 600, 60), (0, 60, 60)])
def test_the_lower_of_what_is_set_and_what_is_announced_is_kept(
    made: Callable[..., Quota], is_set: int, announced: int, is_kept: int
) -> None:
    own = made(requests=is_set)
    answered(own, Limits(requests=announced, requests_left=announced - 1))
    assert own.limits == (is_kept, 0)
    assert pace(own) == pytest.approx(is_kept / SPREAD, rel=0.02)


def test_what_was_sent_before_a_limit_was_known_is_waited_for(made: Callable[..., Quota]) -> None:
    """Twenty were sent at once, at 60 a minute: the next may go in twenty seconds."""
    own = made()
    for left in range(59, 39, -1):
        answered(own, Limits(requests=60, requests_left=left))
    assert own.reserve(1)[0] == pytest.approx(20 * SPREAD, abs=0.5)


def test_who_waits_by_a_limit_that_turns_out_too_high_waits_by_the_lower_one(
    made: Callable[..., Quota],
) -> None:
    own = made(requests=600)
    waits = [own.reserve(1) for _ in range(10)]
    answered(own, Limits(requests=60, requests_left=60))
    assert own.reserve(1, held=waits[-1][1])[0] == pytest.approx(0, abs=0.1)
    assert own.reserve(1, held=waits[-1][1])[0] == pytest.approx(SPREAD - 0.25, abs=0.1)


def test_the_rate_of_a_provider_that_announces_nothing_is_measured_between_two_refusals(
    made: Callable[..., Quota],
) -> None:
    own = made()
    own.pause(0.1)
    time.sleep(5.5)
    answered(own, times=55)
    own.pause(0.1)
    time.sleep(0.2)
    # 55 in 5.5 seconds
    assert pace(own) == pytest.approx(600 * 0.98 / SPREAD, rel=0.05)


def test_an_outage_is_not_taken_for_a_rate(made: Callable[..., Quota]) -> None:
    own = made()
    own.pause(0.1)
    time.sleep(5.5)
    answered(own, times=3)
    own.pause(0.1)
    time.sleep(0.2)
    assert [own.reserve(1)[0] for _ in range(20)] == [0.0] * 20


def test_a_flushed_redis_is_told_again_what_was_announced(stack: Stack, made: Callable[..., Quota]) -> None:
    own = made()
    answered(own, Limits(requests=60, requests_left=59))
    with redis.Redis.from_url(stack.redis.url(1)) as client:
        client.flushdb()
    assert pace(own) == pytest.approx(60 / SPREAD, rel=0.02)
