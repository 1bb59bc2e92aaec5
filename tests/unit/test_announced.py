"""The limits in the headers of an answer."""

import httpx2
import pytest

from reembed.embedding import announced
from reembed.embedding.announced import Limits


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        pytest.param({}, Limits(), id="nothing"),
        pytest.param(
            {
                "X-RateLimit-Limit-Requests": "3000",
                "X-RateLimit-Remaining-Requests": "2999",
                "X-RateLimit-Reset-Requests": "20ms",
                "X-RateLimit-Limit-Tokens": "1000000",
                "X-RateLimit-Remaining-Tokens": "999000",
                "X-RateLimit-Reset-Tokens": "6m0s",
            },
            Limits(3_000, 1_000_000, 2_999, 999_000),
            id="as OpenAI sends them",
        ),
        pytest.param(
            {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "7"},
            Limits(60, 0, 7, 0),
            id="requests alone",
        ),
        pytest.param(
            {"x-ratelimit-limit-tokens": "60"}, Limits(0, 60, 0, 60), id="nothing about what is left"
        ),
        pytest.param(
            {"x-ratelimit-limit-requests": "many", "x-ratelimit-limit-tokens": "-5"},
            Limits(),
            id="no numbers",
        ),
        pytest.param(
            {"x-ratelimit-limit-requests": "5", "x-ratelimit-remaining-requests": "9"},
            Limits(5, 0, 5, 0),
            id="more left than there is",
        ),
    ],
)
def test_limits_are_read_from_headers(headers: dict[str, str], limits: Limits) -> None:
    assert announced.read(httpx2.Headers(headers)) == limits
