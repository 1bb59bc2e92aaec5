"""The quota: requests and tokens a minute, and the provider's own pauses, shared by every worker of every replica.

One reservation in Redis covers both limits at once, by Redis's own clock, so that no worker's clock matters. It is
virtual scheduling: the time at which each limit is next free is moved, and the answer is how long to sleep. Nobody
polls, and who asked first goes first. The limits are those that are set, and those that the provider announces where
these are lower.

A provider that says "too many requests" says so to one worker and means all of them: that worker sets a pause, and
whoever asks next waits for its end.

What a request was charged is corrected once it is answered:
- by the tokens that were billed, where the provider reports them;
- the tokens of a request that was refused are given back: an answer without vectors is billed nothing;
- the request itself is not: OpenAI counts refused requests like any other;
- neither is anything of a request that broke (5xx, a time-out, half an answer): it may have been computed, and
  counted.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.settings import Settings
from reembed import errors
from reembed.embedding import announced
from workers import reservations

_SECOND = 1_000_000
# One slot of a Redis cluster
_KEY = "reembed:{quota}"
_OLD_KEY = "reembed:{quota}:old"

WAITING = "the quota, or a pause that the provider asked for"


class QuotaUnreadable(errors.Transient):
    """The quota cannot be read from Redis ({reason}), and nothing is sent until it can."""


@dataclass(frozen=True)
class Share:
    """What one request has reserved."""

    tokens: int
    terms: bytes
    """The state of the quota that it was reserved in; empty where Redis was not there to tell."""
    waited: float = 0.0
    """Seconds, until it might be sent."""


def connect(url: str) -> redis.Redis:
    """Quick to give up: a request waits for this, and Patience tries again."""
    retry = Retry(NoBackoff(), retries=1)
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=retry)


class Quota:
    """Threads may share it. Without limits only pauses are shared, and a Redis that is away holds up nobody."""

    def __init__(
        self, client: redis.Redis, requests_per_minute: int, tokens_per_minute: int, key: str = _KEY
    ) -> None:
        """Per minute; 0 is no limit. All with the same `key` in the same Redis share one quota."""
        self._client = client
        self._key = key
        self._set = (requests_per_minute, tokens_per_minute)
        self._heard = announced.NOTHING
        self._reserve = client.register_script(reservations.RESERVE)
        self._settle = client.register_script(reservations.SETTLE)
        self._pause = client.register_script(reservations.PAUSE)

    @classmethod
    def of(cls, settings: Settings) -> "Quota":
        limits = (settings.embed_requests_per_minute, settings.embed_tokens_per_minute)
        return cls(connect(settings.result_backend), *limits)

    @classmethod
    def of_the_old_model(cls, settings: Settings) -> "Quota":
        """Nothing is set for it, and it has a state of its own: it may be another provider's."""
        return cls(connect(settings.result_backend), 0, 0, _OLD_KEY)

    @property
    def limits(self) -> tuple[int, int]:
        """Requests and tokens a minute as far as this process knows; 0 is no limit."""
        heard = (self._heard.requests, self._heard.tokens)
        requests, tokens = (min(filter(None, pair), default=0) for pair in zip(self._set, heard, strict=True))
        return requests, tokens

    def reserve(self, tokens: int, held: bytes = b"") -> tuple[float, bytes]:
        """Reserve one request of so many tokens: the seconds to wait before it may be sent, and the terms.

        With `held`, the terms of a reservation: that one stands if it still can, and what is left to wait is a pause.
        Raises QuotaUnreadable where there are limits and Redis does not answer: to guess would be to burst.
        """
        try:
            wait, terms = self._reserve(keys=[self._key], args=[*self._known, held, tokens])
        except redis.RedisError as error:
            if not any(self.limits):
                return 0.0, b""
            raise QuotaUnreadable(reason=type(error).__name__) from error
        return int(wait) / _SECOND, terms

    def take(self, tokens: int, stop: threading.Event, on_wait: Callable[[str, float], None]) -> Share:
        """Wait for one request's share of the quota.

        Raises errors.Transient where `stop` comes first, and then nothing must be sent.
        """
        seconds, terms = self.reserve(tokens)
        waited = 0.0
        while seconds > 0:
            waited += seconds
            on_wait(WAITING, seconds)
            if stop.wait(seconds):
                self._correct(Share(tokens, terms), requests=-1, tokens=-tokens)
                raise errors.Transient(reason=WAITING)
            seconds, terms = self.reserve(tokens, held=terms)
        return Share(tokens, terms, waited)

    def settle(self, share: Share, billed: int, limits: announced.Limits) -> None:
        """The request was answered: correct its share by the tokens billed (0: not told), hear the limits."""
        more = billed - share.tokens if billed else 0
        self._correct(share, requests=0, tokens=more, accepted=1, limits=limits)
        if limits is not announced.NOTHING:
            # Afterwards: who is the first to hear of a limit did not know it before
            self._heard = limits

    def give_back(self, share: Share) -> None:
        """The request was refused: its tokens are free again."""
        self._correct(share, requests=0, tokens=-share.tokens)

    def pause(self, seconds: float) -> None:
        """Nobody asks the provider for so long. Best effort: who does not hear of it is refused, and pauses too."""
        with contextlib.suppress(redis.RedisError):
            self._pause(keys=[self._key], args=[*self._known, int(seconds * _SECOND)])

    def close(self) -> None:
        self._client.close()

    @property
    def _known(self) -> list[int]:
        return [*self._set, self._heard.requests, self._heard.tokens]

    def _correct(
        self,
        share: Share,
        *,
        requests: int,
        tokens: int,
        accepted: int = 0,
        limits: announced.Limits = announced.NOTHING,
    ) -> None:
        """Best effort: without Redis nothing can be reserved either, and what is charged too much passes."""
        told = [limits.requests, limits.tokens, limits.requests_left, limits.tokens_left]
        with contextlib.suppress(redis.RedisError):
            arguments: list[Any] = [*self._known, share.terms, requests, tokens, accepted, *told]
            self._settle(keys=[self._key], args=arguments)
