"""What a provider announces about its limits, in the headers of every answer."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Requests and tokens a minute, and how much of either is left; 0 a minute where nothing is said."""

    requests: int = 0
    tokens: int = 0
    requests_left: int = 0
    tokens_left: int = 0


NOTHING = Limits()


def read(headers: Mapping[str, str]) -> Limits:
    """The `x-ratelimit-*` headers, by their names in lower case; whatever is no number counts as not said.

    When a limit is reset is not read: at full use it is always a minute away, while a new request may go at once.
    """
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return NOTHING
    requests, tokens = (_number(headers, f"x-ratelimit-limit-{kind}", 0) for kind in ("requests", "tokens"))
    return Limits(
        requests,
        tokens,
        # Where nothing is said about what is left, all of it is
        min(_number(headers, "x-ratelimit-remaining-requests", requests), requests),
        min(_number(headers, "x-ratelimit-remaining-tokens", tokens), tokens),
    )


def _number(headers: Mapping[str, str], name: str, otherwise: int) -> int:
    try:
        return max(int(headers[name]), 0)
    except (KeyError, ValueError):
        return otherwise
