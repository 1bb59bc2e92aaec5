"""The quota in a real Redis: shared by everybody who asks."""

import threading

import pytest

from config.settings import Settings
from orchestrator.embedded.stack import Stack
from workers.quota import Quota, QuotaNeedsRedis


def settings_with(stack: Stack, **limits: int) -> Settings:
    environment = {name.lower(): value for name, value in stack.environment("any").items()}
    return Settings.model_validate({**environment, **limits})


@pytest.fixture(autouse=True)
def _empty(stack: Stack) -> None:
    import redis

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
    quota = Quota.of(settings_with(stack, embed_requests_per_minute=60_000, embed_tokens_per_minute=60_000))
    waits = [quota.reserve(tokens) for tokens in (1_000, 5_000, 1)]
    quota.close()
    assert waits == pytest.approx([0, 5, 5], abs=0.1)


def test_a_wait_ends_at_once_when_the_worker_has_to_leave(stack: Stack) -> None:
    quota = Quota.of(settings_with(stack, embed_requests_per_minute=1))
    quota.reserve(1)
    stop, told = threading.Event(), []
    stop.set()
    quota.take(1, stop, lambda reason, seconds: told.append((reason, round(seconds, -1))))
    quota.close()
    assert told == [("the quota", 120)]


def test_a_quota_without_a_redis_to_keep_it_in_is_refused(stack: Stack) -> None:
    settings = settings_with(stack, embed_requests_per_minute=1).model_copy(
        update={"celery_broker_url": "amqp://localhost", "celery_result_backend": "rpc://"}
    )
    with pytest.raises(QuotaNeedsRedis):
        Quota.of(settings)
