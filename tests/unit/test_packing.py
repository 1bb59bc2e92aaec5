"""Packing keeps the order, loses nothing and respects both limits."""

import pytest

from reembed.embedding import packing


@pytest.mark.parametrize(
    ("lengths", "max_texts", "max_tokens", "requests"),
    [
        pytest.param([], 10, 100, [], id="nothing to pack"),
        pytest.param([5], 10, 100, [range(1)], id="one text"),
        pytest.param([5, 5, 5], 3, 100, [range(3)], id="as many texts as a request takes"),
        pytest.param([5, 5, 5, 5], 3, 100, [range(3), range(3, 4)], id="one text more"),
        pytest.param([50, 50], 10, 100, [range(2)], id="as many tokens as a request takes"),
        pytest.param([50, 51], 10, 100, [range(1), range(1, 2)], id="one token more"),
        pytest.param([10, 500, 10, 10], 10, 100, [range(1), range(1, 2), range(2, 4)], id="too long: alone"),
        pytest.param([500, 500], 10, 100, [range(1), range(1, 2)], id="two too long: each alone"),
        pytest.param([0, 0, 0], 2, 100, [range(2), range(2, 3)], id="empty texts are texts"),
    ],
)
def test_texts_are_packed_in_order_within_both_limits(
    lengths: list[int], max_texts: int, max_tokens: int, requests: list[range]
) -> None:
    assert list(packing.pack(lengths, max_texts, max_tokens)) == requests


@pytest.mark.parametrize(
    ("requests_per_minute", "tokens_per_minute", "largest"),
    [
        pytest.param(0, 0, 250_000, id="no quota"),
        pytest.param(600, 0, 250_000, id="no quota of tokens"),
        pytest.param(0, 1_000_000, 4_166, id="a quarter of a second's worth"),
        pytest.param(3_000, 1_000_000, 4_166, id="and requests to spare"),
        pytest.param(400, 1_000_000, 10_000, id="requests are scarce: a quarter of them has to do"),
        pytest.param(3, 150_000, 200_000, id="requests are very scarce"),
        pytest.param(3, 1_000_000, 250_000, id="never more than a request may hold"),
        pytest.param(0, 100, 1, id="never nothing"),
    ],
)
def test_tokens_of_a_quota_are_spread_over_many_requests_and_never_over_more_than_there_are(
    requests_per_minute: int, tokens_per_minute: int, largest: int
) -> None:
    assert packing.largest_request(250_000, requests_per_minute, tokens_per_minute) == largest
