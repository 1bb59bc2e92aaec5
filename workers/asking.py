"""One request to the provider: its share of the quota before, the correction after."""

import threading
from collections.abc import Callable, Sequence

from reembed import errors
from reembed.embedding.provider import Provider
from reembed.embedding.wire import Embedded
from workers.quota import Quota
from workers.ruler import Ruler

# All workers pause for so long after a 429 that names no time
PAUSE_SECONDS = 1.0
# Nor for longer than this, whatever is asked for: then one request finds out whether it still holds
LONGEST_PAUSE_SECONDS = 600.0


def ask(
    provider: Provider,
    quota: Quota,
    ruler: Ruler,
    texts: Sequence[str],
    estimated: int,
    *,
    stop: threading.Event,
    on_wait: Callable[[str, float], None],
) -> Embedded:
    """The answer to a request of so many tokens, by estimate. Raises what the provider and the quota raise.

    What broke is neither corrected nor given back: workers/quota.py says why.
    """
    share = quota.take(ruler.corrected(estimated), stop, on_wait)
    try:
        answer = provider.embed_documents(texts)
    except errors.ProviderOverloaded as overload:
        quota.give_back(share)
        # It was said to one worker and is meant for all
        quota.pause(min(overload.retry_after or PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
        raise
    except errors.RequestRefused:
        quota.give_back(share)
        raise
    quota.settle(share, answer.tokens, answer.limits)
    ruler.learn(estimated, answer.tokens)
    return answer
