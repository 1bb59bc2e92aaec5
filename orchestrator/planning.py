"""Planning: how large a chunk is, and how long the quota makes a migration take. Pure arithmetic."""

import math
from dataclasses import dataclass

from config.settings import ProviderMode

# Documents in the table up to here: documents in a chunk. Small tables get chunks enough to share, large ones not more
# rows in the ledger than a person can look at
_CHUNK_SIZES = (
    (1_000, 50),
    (100_000, 500),
    (1_000_000, 2_000),
    (10_000_000, 5_000),
    (100_000_000, 10_000),
)
_LARGEST_CHUNK = 20_000
# By jobs a chunk is one of them, if its texts have no more than 10 kB on average: the provider's time is what counts,
# whoever shares it
_CHUNK_OF_A_JOB = 20_000


def chunk_size(documents: int, mode: ProviderMode = "direct") -> int:
    """Documents in a chunk, by the table's size and the way they go to the provider."""
    if mode == "batch":
        return _CHUNK_OF_A_JOB
    return next((size for up_to, size in _CHUNK_SIZES if documents <= up_to), _LARGEST_CHUNK)


# What a chunk's message takes in the memory of Redis at most, its callback and its name in Flower included. Measured
# by a test, with keys that are long
MESSAGE_BYTES = 4_096


@dataclass(frozen=True)
class Load:
    """What a migration asks of the provider and of the broker."""

    documents: int
    tokens: int
    chunk_size: int
    batch_size: int
    batch_tokens: int

    @property
    def chunks(self) -> int:
        return math.ceil(self.documents / self.chunk_size)

    @property
    def requests(self) -> int:
        """Requests of the fullest size; a chunk makes at least one."""
        full = max(self.documents / self.batch_size, self.tokens / self.batch_tokens)
        return max(self.chunks, math.ceil(full))

    def waves(self, wave: int) -> int:
        return math.ceil(self.chunks / wave)

    def messages(self, wave: int) -> int:
        """All that are published if nothing goes wrong: one for each chunk, and the callback of each wave."""
        return self.chunks + self.waves(wave)

    def broker_bytes(self, outstanding: int) -> int:
        """What Redis holds at a time, where so many messages may be on their way: no more for a larger table."""
        return min(self.chunks, outstanding) * MESSAGE_BYTES

    def seconds_at_quota(self, requests_per_minute: int, tokens_per_minute: int) -> float | None:
        """The least time that the quota allows; None without one."""
        limits = ((self.requests, requests_per_minute), (self.tokens, tokens_per_minute))
        return max((60 * amount / limit for amount, limit in limits if limit), default=None)
