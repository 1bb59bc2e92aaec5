"""Limits of requests and tokens a minute, enforced and announced as a provider does.

What was admitted within the last 60 seconds counts, whatever second they begin at. That is the strictest reading of "a
minute": who keeps to it is also let in by a provider that counts by the clock's minutes, or by a bucket that fills up.
"""

import time
from collections import deque
from dataclasses import dataclass, field

from orchestrator.embedding_server import refusals
from orchestrator.embedding_server.request import EmbeddingRequest

WINDOW_SECONDS = 60.0


@dataclass
class Limit:
    """Of one kind."""

    kind: str
    a_minute: int
    """0: none."""
    used: int = 0
    _admitted: deque[tuple[float, int]] = field(default_factory=deque)

    def forget(self, now: float) -> None:
        """What is older than the window counts no more."""
        while self._admitted and self._admitted[0][0] <= now - WINDOW_SECONDS:
            self.used -= self._admitted.popleft()[1]

    def wait(self, amount: int, now: float) -> float:
        """Seconds until so much is free; what is larger than the limit waits for all of it."""
        free = max(self.a_minute - self.used, 0)
        if not self.a_minute or amount <= free:
            return 0.0
        for admitted, cost in self._admitted:
            free += cost
            if amount <= free:
                return admitted + WINDOW_SECONDS - now
        return WINDOW_SECONDS

    def charge(self, amount: int, now: float) -> None:
        self.used += amount
        self._admitted.append((now, amount))

    def headers(self, now: float) -> dict[str, str]:
        if not self.a_minute:
            return {}
        newest = self._admitted[-1][0] + WINDOW_SECONDS - now if self._admitted else 0.0
        return {
            f"x-ratelimit-limit-{self.kind}": str(self.a_minute),
            f"x-ratelimit-remaining-{self.kind}": str(max(self.a_minute - self.used, 0)),
            f"x-ratelimit-reset-{self.kind}": f"{round(newest * 1_000)}ms",
        }


class Limits:
    def __init__(self, requests_per_minute: int, tokens_per_minute: int, announce: bool) -> None:
        self._limits = (Limit("requests", requests_per_minute), Limit("tokens", tokens_per_minute))
        self._announce = announce
        self.admitted = self.refused = 0

    def admit(self, asked: EmbeddingRequest) -> dict[str, str]:
        """The headers that announce the limits. Raises Refusal for a request beyond one, which counts as nothing."""
        now = time.monotonic()
        amounts = (1, asked.tokens)
        for limit, amount in zip(self._limits, amounts, strict=True):
            limit.forget(now)
            if wait := limit.wait(amount, now):
                self.refused += 1
                raise refusals.rate_limited(
                    asked.model, limit.kind, limit.a_minute, limit.used, amount, wait, self._headers(now)
                )
        self.admitted += 1
        for limit, amount in zip(self._limits, amounts, strict=True):
            limit.charge(amount, now)
        return self._headers(now)

    def _headers(self, now: float) -> dict[str, str]:
        if not self._announce:
            return {}
        return {name: value for limit in self._limits for name, value in limit.headers(now).items()}
