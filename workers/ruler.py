"""The ruler: how many tokens a text has by this model's count, corrected by what the provider bills."""

import threading
from collections.abc import Callable

from reembed.embedding import tokens

# The first answers move the ratio little by little, as if so many tokens had been billed as estimated before
_PRIOR_TOKENS = 2_000
# What was billed counts half after so many more tokens: texts change along a table, and a model's tokenizer does not
_MEMORY_TOKENS = 1_000_000
# The estimate is known to be wrong by 0.35 (Russian) to 2 (names of molecules). What a provider bills beyond these
# is no count of tokens, and must neither stop the migration nor let a burst through
LOWEST, HIGHEST = 0.25, 3.0


class Ruler:
    """Of one process and one model. Threads may share it."""

    def __init__(self, count: Callable[[str], int]) -> None:
        """`count` counts the tokens of a text, or estimates them."""
        self.count = count
        self._lock = threading.Lock()
        self._estimated = self._billed = float(_PRIOR_TOKENS)

    @classmethod
    def of(cls, model: str) -> "Ruler":
        return cls(tokens.counter(model))

    @property
    def exact(self) -> bool:
        """Whether it counts as the model does."""
        return self.count is not tokens.estimate

    @property
    def ratio(self) -> float:
        """Tokens billed for each that was estimated."""
        return min(max(self._billed / self._estimated, LOWEST), HIGHEST)

    def corrected(self, estimated: int) -> int:
        """What the provider is going to bill, at least 1."""
        return max(round(estimated * self.ratio), 1)

    def learn(self, estimated: int, billed: int) -> None:
        """An answer came. Nothing is learned from a provider that reports no usage."""
        if not (estimated and billed):
            return
        with self._lock:
            fade = 0.5 ** (estimated / _MEMORY_TOKENS)
            self._estimated = self._estimated * fade + estimated
            self._billed = self._billed * fade + min(billed, estimated * HIGHEST)
