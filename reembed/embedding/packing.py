"""Packing: which texts go into which request, so that none is larger than a provider takes."""

from collections.abc import Iterator, Sequence


def pack(lengths: Sequence[int], max_texts: int, max_tokens: int) -> Iterator[range]:
    """Split texts of these lengths, in tokens, into requests: each the range of its texts' positions.

    Order is kept, every text is in exactly one range, and a request is filled before the next begins. A text
    longer than `max_tokens` stands alone: whether it is too long is for the provider to say.
    """
    start = tokens = 0
    for position, length in enumerate(lengths):
        if position > start and (position - start == max_texts or tokens + length > max_tokens):
            yield range(start, position)
            start, tokens = position, 0
        tokens += length
    if lengths:
        yield range(start, len(lengths))


# Requests a minute that a quota of tokens is spread over, at least
_REQUESTS_PER_MINUTE = 240


def largest_request(max_tokens: int, requests_per_minute: int, tokens_per_minute: int) -> int:
    """Tokens of one request at most, under these limits a minute; 0 is no limit.

    No more than a quarter of a second's worth: large requests cannot be sent evenly, and a provider that counts a
    minute's tokens refuses what comes in lumps. Where requests are scarce too, a quarter of them has to do, so that
    spreading tokens never makes requests the limit.
    """
    if not tokens_per_minute:
        return max_tokens
    requests = min(requests_per_minute / 4 or _REQUESTS_PER_MINUTE, _REQUESTS_PER_MINUTE)
    return max(min(max_tokens, int(tokens_per_minute / requests)), 1)
