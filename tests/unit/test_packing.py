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
