"""The quota: requests and tokens a minute, and the provider's own pauses, shared by every worker of every replica.

One reservation in Redis covers both limits at once, by Redis's own clock, so that no worker's clock matters and nothing
is spent on one limit when the other makes it wait. It is virtual scheduling (GCRA): the script moves the time at which
each limit is next free and answers how long to sleep. Nobody polls, and who asked first goes first.

A provider that says "too many requests" says so to one worker and means all of them: that worker sets a pause, and
whoever asks next waits for its end.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import Settings
from reembed import errors

# KEYS: the pause, then one for each limit. ARGV for each limit: the cost in microseconds of its time, and its burst
_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wait = math.max(0, tonumber(redis.call('GET', KEYS[1]) or '0') - now)
for i = 2, #KEYS do
  local cost, burst = tonumber(ARGV[2 * i - 3]), tonumber(ARGV[2 * i - 2])
  local free_at = math.max(now, tonumber(redis.call('GET', KEYS[i]) or '0')) + cost
  redis.call('SET', KEYS[i], string.format('%.0f', free_at), 'PX', math.ceil((free_at - now) / 1000) + 1000)
  wait = math.max(wait, free_at - burst - now)
end
return math.ceil(wait)
"""

# A pause is only ever made longer: of two workers that were refused, the one told to wait longest is right
_PAUSE = """
local time = redis.call('TIME')
local ends = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
if ends > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.0f', ends), 'PX', math.ceil(tonumber(ARGV[1]) / 1000) + 1000)
end
"""

# What a request that is not sent after all had reserved is given to those who ask next
_GIVE_BACK = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 1, #KEYS do
  local free_at = tonumber(redis.call('GET', KEYS[i]) or '0') - tonumber(ARGV[i])
  if free_at > now then
    redis.call('SET', KEYS[i], string.format('%.0f', free_at), 'PX', math.ceil((free_at - now) / 1000) + 1000)
  else
    redis.call('DEL', KEYS[i])
  end
end
"""

_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
# Microseconds of a limit that may be used at once after it lay idle: smooth enough for who counts by the second
_BURST = _SECOND
# One slot of a Redis cluster
_KEY = "reembed:{{quota}}:{}".format
_PAUSED, _REQUESTS, _TOKENS = _KEY("pause"), _KEY("requests"), _KEY("tokens")

WAITING = "the quota, or a pause that the provider asked for"


def connect(url: str) -> redis.Redis:
    """Quick to give up: a request waits for this, and Patience tries again."""
    retry = Retry(NoBackoff(), retries=1)
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=retry)


class Quota:
    """Without limits only pauses are shared, and a Redis that does not answer holds up nobody."""

    def __init__(
        self, client: redis.Redis, requests_per_minute: int, tokens_per_minute: int, paused: str = _PAUSED
    ) -> None:
        """Per minute; 0 is no limit. `paused` is the key of the pauses that are shared."""
        self._client = client
        self._paused = paused
        self._limits = {
            key: limit
            for key, limit in ((_REQUESTS, requests_per_minute), (_TOKENS, tokens_per_minute))
            if limit
        }
        self._reserve = client.register_script(_RESERVE)
        self._pause = client.register_script(_PAUSE)
        self._give_back = client.register_script(_GIVE_BACK)

    @classmethod
    def of(cls, settings: Settings) -> "Quota":
        limits = (settings.embed_requests_per_minute, settings.embed_tokens_per_minute)
        return cls(connect(settings.result_backend), *limits)

    @classmethod
    def of_the_old_model(cls, settings: Settings) -> "Quota":
        """Without limits, and with pauses of its own: it may be another provider's."""
        return cls(connect(settings.result_backend), 0, 0, paused=_KEY("old-pause"))

    def reserve(self, tokens: int) -> float:
        """Reserve one request of so many tokens; the seconds to wait before it may be sent.

        Raises errors.ProviderUnavailable where there are limits and Redis does not answer: to guess would be to burst.
        """
        arguments: list[Any] = []
        for cost in self._costs(tokens):
            arguments += [cost, _BURST]
        return self._wait([self._paused, *self._limits], arguments)

    def take(self, tokens: int, stop: threading.Event, on_wait: Callable[[str, float], None]) -> None:
        """Wait for one request's share of the quota. Raises errors.Transient where `stop` comes first: send nothing."""
        seconds = self.reserve(tokens)
        while seconds > 0:
            on_wait(WAITING, seconds)
            if stop.wait(seconds):
                self.give_back(tokens)
                raise errors.Transient(reason=WAITING)
            # A reservation knows nothing of a pause that was set after it was made
            seconds = self._wait([self._paused], [])

    def give_back(self, tokens: int) -> None:
        """A reservation that is not used. Best effort: what is lost is quota, and nothing is sent too much."""
        with contextlib.suppress(redis.RedisError):
            self._give_back(keys=list(self._limits), args=self._costs(tokens))

    def _costs(self, tokens: int) -> list[int]:
        """Of one request, in microseconds of each limit's time."""
        amounts = {_REQUESTS: 1, _TOKENS: tokens}
        return [amounts[key] * _MINUTE // limit for key, limit in self._limits.items()]

    def pause(self, seconds: float) -> None:
        """Nobody asks the provider for so long. Best effort: whoever does not hear of it is refused, and pauses too."""
        with contextlib.suppress(redis.RedisError):
            self._pause(keys=[self._paused], args=[int(seconds * _SECOND)])

    def close(self) -> None:
        self._client.close()

    def _wait(self, keys: list[str], arguments: list[Any]) -> float:
        try:
            return max(0, int(self._reserve(keys=keys, args=arguments))) / _SECOND
        except redis.RedisError as error:
            if not self._limits:
                return 0.0
            reason = f"the quota cannot be read from Redis ({type(error).__name__})"
            raise errors.ProviderUnavailable(reason=reason) from error
