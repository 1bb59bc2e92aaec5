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
