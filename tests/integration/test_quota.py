"""The quota in a real Redis: shared by everybody who asks."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from config.settings import Settings
from orchestrator.embedded.stack import Stack
from reembed import errors
from reembed.embedding.announced import NOTHING, Limits
from workers import quota
from workers.quota import Quota, QuotaUnreadable, Share

# A minute's worth is spread over a little more than a minute
SPREAD = 60.7 / 60
BURST = 0.25


@pytest.fixture
def made(stack: Stack) -> Iterator[Callable[..., Quota]]:
    """Makes quotas, as many workers as wanted, in a Redis that knows nothing yet."""
    environment = {name.lower(): value for name, value in stack.environment("any").items()}
    with redis.Redis.from_url(stack.redis.url(1)) as client:
        client.flushdb()
    every: list[Quota] = []

    def make(requests: int = 0, tokens: int = 0) -> Quota:
        limits = {"embed_requests_per_minute": requests, "embed_tokens_per_minute": tokens}
        every.append(Quota.of(Settings.model_validate({**environment, **limits})))
        return every[-1]

    yield make
    for own in every:
        own.close()


def wait(own: Quota, tokens: int = 1) -> float:
    """Seconds that one request more would wait."""
    return own.reserve(tokens)[0]


def taken(own: Quota, tokens: int = 1) -> Share:
    return own.take(tokens, threading.Event(), lambda reason, seconds: None)


def test_requests_wait_in_the_order_in_which_they_asked_whoever_asks(made: Callable[..., Quota]) -> None:
    first, second = made(requests=120), made(requests=120)
    waits = [wait(own) for _ in range(3) for own in (first, second)]
    each = 0.5 * SPREAD
    assert waits == pytest.approx([0, *(each * n - BURST for n in range(1, 6))], abs=0.1)


def test_tokens_are_limited_as_well_as_requests(made: Callable[..., Quota]) -> None:
    own = made(requests=60_000, tokens=60_000)
    waits = [wait(own, tokens) for tokens in (1_000, 5_000, 1)]
    assert waits == pytest.approx([0, SPREAD - BURST, 6 * SPREAD - BURST], abs=0.1)


def test_no_minute_has_more_than_the_limit_wherever_it_begins(made: Callable[..., Quota]) -> None:
    """What a provider that looks 60 seconds back would count, for requests of every size that is allowed."""
    own, now = made(requests=2_400, tokens=60_000), time.monotonic()
    # As large as packing.largest_request lets them be, and smaller, in an order that repeats itself never
    sizes = [250 - 37 * n % 200 for n in range(700)]
    sent = [(wait(own, size) + time.monotonic() - now, size) for size in sizes]
    for begins, _ in sent:
        assert sum(size for at, size in sent if begins <= at < begins + 60) <= 60_000
    spent = sum(sizes) / (sent[-1][0] * 1_000)
    assert spent > 0.98


def test_a_wait_ends_at_once_when_the_worker_has_to_leave_and_its_share_is_free(
    made: Callable[..., Quota],
) -> None:
    own = made(requests=1)
    taken(own)
    stop, told = threading.Event(), []
    began = time.monotonic()

    def leave(reason: str, seconds: float) -> None:
        told.append(reason)
        stop.set()

    # And says so: a request that was not waited for must not be sent
    with pytest.raises(errors.Transient):
        own.take(1, stop, leave)
    assert told == ["the quota, or a pause that the provider asked for"]
    assert time.monotonic() - began < 5
    assert wait(own) < 61


def test_a_pause_that_one_worker_was_asked_for_holds_for_all_and_the_longest_counts(
    made: Callable[..., Quota],
) -> None:
    first, second = made(), made()
    assert wait(second) == 0
    first.pause(20)
    first.pause(2)
    assert wait(second) == pytest.approx(20, abs=0.5)


def test_who_waits_when_a_pause_begins_waits_for_its_end_and_is_spaced_from_there(
    made: Callable[..., Quota],
) -> None:
    own, began = made(requests=240), time.monotonic()
    for _ in range(5):
        wait(own)
    sent: list[float] = []

    def send() -> None:
        taken(own)
        sent.append(time.monotonic() - began)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    ends = time.monotonic() - began + 2.5
    own.pause(2.5)
    for thread in threads:
        thread.join()
    # A burst when the pause ends, and then one each quarter of a second: not all at once. Threads may be late on a
    # machine that has other things to do, and never early
    for took, earliest in zip(sorted(sent), (0.0, 0.0, 0.25, 0.5), strict=True):
        assert -0.05 <= took - ends - earliest < 2


def test_what_was_billed_replaces_what_was_estimated(made: Callable[..., Quota]) -> None:
    own = made(tokens=60_000)
    share = taken(own, 10_000)
    own.settle(share, 4_000, NOTHING)
    assert wait(own) == pytest.approx(4 * SPREAD - BURST, abs=0.2)
    own.settle(share, 13_000, NOTHING)
    assert wait(own) == pytest.approx(7 * SPREAD - BURST, abs=0.2)


def test_a_provider_that_reports_no_usage_is_believed_the_estimate(made: Callable[..., Quota]) -> None:
    own = made(tokens=60_000)
    own.settle(taken(own, 10_000), 0, NOTHING)
    assert wait(own) == pytest.approx(10 * SPREAD - BURST, abs=0.2)


def test_a_refused_request_gives_its_tokens_back_and_still_counts_as_a_request(
    made: Callable[..., Quota],
) -> None:
    own = made(requests=6, tokens=60_000)
    own.give_back(taken(own, 50_000))
    assert wait(own, 1) == pytest.approx(10 * SPREAD - BURST, abs=0.2)


def test_a_redis_that_loses_its_memory_lets_a_burst_through_and_no_more(
    stack: Stack, made: Callable[..., Quota]
) -> None:
    """600 a minute, asked by 30 at once, each of which comes back at once: ten a second."""
    workers = [made(requests=600) for _ in range(3)]
    sent: list[float] = []
    ends = time.monotonic() + 6

    def work(own: Quota) -> None:
        while time.monotonic() < ends:
            taken(own)
            sent.append(time.monotonic())

    threads = [threading.Thread(target=work, args=(own,)) for own in workers for _ in range(10)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(2)
    with redis.Redis.from_url(stack.redis.url(1)) as client:
        client.flushall()
    flushed = time.monotonic()
    for thread in threads:
        thread.join()
    # 2.5 requests are a burst: one at the start, one more after the loss
    for begins in (began, flushed):
        within = [at for at in sent if begins <= at < begins + 2]
        assert 17 <= len(within) <= 2 * 10 + 3 + 1
    after = [at for at in sent if flushed <= at < ends]
    assert len(after) <= (ends - flushed) * 10 + 3 + 1


def test_a_redis_that_does_not_answer_holds_up_nobody_unless_there_are_limits() -> None:
    away = quota.connect("redis://127.0.0.1:1/0")
    without, limited, heard = Quota(away, 0, 0), Quota(away, 10, 0), Quota(away, 0, 0)
    without.pause(5)
    without.settle(taken(without), 3, NOTHING)
    assert wait(without) == 0
    with pytest.raises(QuotaUnreadable) as caught:
        wait(limited)
    assert str(caught.value) == (
        "The quota cannot be read from Redis (ConnectionError), and nothing is sent until it can."
    )
    # What was announced is a limit like any other
    heard.settle(Share(1, b""), 3, Limits(requests=60, requests_left=59))
    with pytest.raises(QuotaUnreadable):
        wait(heard)
    away.close()


def test_requests_that_are_not_sent_after_all_give_their_share_to_the_next(
    made: Callable[..., Quota],
) -> None:
    own, stop = made(requests=60), threading.Event()
    taken(own)
    for _ in range(5):
        stop.clear()
        with pytest.raises(errors.Transient):
            own.take(1, stop, lambda reason, seconds: stop.set())
    assert wait(own) < 2
