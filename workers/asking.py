"""One request to the provider: its share of quota and budget before, the correction after, and what became of it."""

import threading
import time
from collections.abc import Callable, Sequence

from reembed import errors
from reembed.database.requests import Outcome
from reembed.embedding.provider import Provider
from reembed.embedding.wire import Embedded
from workers import tracing
from workers.budget import UNLIMITED, Budget
from workers.quota import Quota, Share
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
    count: Callable[[Outcome, float], None],
    budget: Budget = UNLIMITED,
) -> Embedded:
    """The answer to a request of so many tokens, by estimate. Raises what provider, quota and budget raise.

    What broke is neither corrected nor given back: workers/quota.py says why.
    """
    share = quota.take(ruler.corrected(estimated), stop, on_wait)
    if share.waited:
        count("held", share.waited)
    with budget.spending(texts) as spent:
        answer = _attempt(provider, quota, share, texts, estimated, count)
        spent(answer.tokens)
    quota.settle(share, answer.tokens, answer.limits)
    ruler.learn(estimated, answer.tokens)
    return answer


def _attempt(
    provider: Provider,
    quota: Quota,
    share: Share,
    texts: Sequence[str],
    estimated: int,
    count: Callable[[Outcome, float], None],
) -> Embedded:
    outcome: Outcome = "broken"
    began = time.monotonic()
    try:
        with tracing.span("provider request", texts=len(texts), tokens_estimated=estimated):
            answer = provider.embed_documents(texts)
        outcome = "answered"
    except errors.ProviderOverloaded as overload:
        outcome = "rate_limited"
        quota.give_back(share)
        # It was said to one worker and is meant for all
        quota.pause(min(overload.retry_after or PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))
        raise
    except errors.RequestRefused:
        outcome = "refused"
        quota.give_back(share)
        raise
    finally:
        count(outcome, time.monotonic() - began)
    return answer
