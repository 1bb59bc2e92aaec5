"""The quota: requests and tokens a minute, shared by every worker of every replica.

One reservation in Redis covers both limits at once, by Redis's own clock, so that no worker's clock matters and nothing
is spent on one limit when the other refuses. It is virtual scheduling (GCRA): the script moves the time at which each
limit is next free and answers how long to sleep. Nobody polls, and who asked first goes first.
"""

import threading
from collections.abc import Callable
from typing import Any

import redis

from config.settings import Settings
from reembed import errors

# KEYS: one for each limit. ARGV for each: the cost in microseconds of this limit's time, and the burst it allows
_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wait = 0
for i, key in ipairs(KEYS) do
  local cost, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local free_at = math.max(now, tonumber(redis.call('GET', key) or '0')) + cost
  redis.call('SET', key, string.format('%.0f', free_at), 'PX', math.ceil((free_at - now) / 1000) + 1000)
  wait = math.max(wait, free_at - burst - now)
end
return math.ceil(wait)
"""

_MINUTE = 60_000_000
# Microseconds of a limit that may be used at once after a pause: smooth enough for providers that count by the second
_BURST = 1_000_000
_KEYS = ("reembed:{quota}:requests", "reembed:{quota}:tokens")


class QuotaNeedsRedis(errors.Usage):
    """EMBED_REQUESTS_PER_MINUTE and EMBED_TOKENS_PER_MINUTE are kept in Redis, and none is set.

    Set CELERY_RESULT_BACKEND to a redis:// URL.
    """


class Quota:
    """Without limits it costs nothing and needs no Redis."""

    def __init__(
        self, client: "redis.Redis | None", requests_per_minute: int, tokens_per_minute: int
    ) -> None:
        self._client = client
        self._limits = (requests_per_minute, tokens_per_minute)
        self._reserve = client.register_script(_RESERVE) if client else None

    @classmethod
    def of(cls, settings: Settings) -> "Quota":
        """Raises QuotaNeedsRedis."""
        limits = (settings.embed_requests_per_minute, settings.embed_tokens_per_minute)
        if not any(limits):
            return cls(None, *limits)
        for url in (settings.result_backend, settings.celery_broker_url):
            if url.startswith(("redis://", "rediss://")):
                client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
                return cls(client, *limits)
        raise QuotaNeedsRedis

    def reserve(self, tokens: int) -> float:
        """Reserve one request of so many tokens; the seconds to wait before it may be sent."""
        if self._reserve is None:
            return 0.0
        keys: list[str] = []
        arguments: list[Any] = []
        for key, limit, cost in zip(_KEYS, self._limits, (1, tokens), strict=True):
            if limit:
                keys.append(key)
                arguments += [cost * _MINUTE // limit, _BURST]
        try:
            return max(0.0, int(self._reserve(keys=keys, args=arguments)) / 1e6)
        except redis.RedisError as error:
            raise errors.ProviderUnavailable(
                reason=f"the quota cannot be read from Redis ({error})"
            ) from error

    def take(self, tokens: int, stop: threading.Event, on_wait: Callable[[str, float], None]) -> None:
        """Wait for one request's share of the quota, or until `stop`."""
        if seconds := self.reserve(tokens):
            on_wait("the quota", seconds)
            stop.wait(seconds)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
