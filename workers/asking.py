"""Asking the provider: a request's share of quota and budget before, the correction after, and what became of it."""

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from reembed import errors
from reembed.database.requests import Outcome
from reembed.embedding.bisection import Apart, embed_apart
from reembed.embedding.patience import Patience
from reembed.embedding.provider import Provider
from reembed.embedding.wire import Embedded
from workers import tracing
from workers.attempt import Attempt
from workers.batches import Batch
from workers.budget import UNLIMITED, Budget
from workers.quota import Quota, Share
from workers.ruler import Ruler
from workers.tools import Tools

# All workers pause for so long after a 429 that names no time
PAUSE_SECONDS = 1.0
# Nor for longer than this, whatever is asked for: then one request finds out whether it still holds
LONGEST_PAUSE_SECONDS = 600.0


class Asker:
    """Asks the provider for the batches of one attempt at a chunk. Threads may share it."""

    def __init__(
        self,
        tools: Tools,
        attempt: Attempt,
        stop: threading.Event,
        on_wait: Callable[[str, float], None],
    ) -> None:
        """`stop` ends every wait at once; `on_wait(reason, seconds)` is told of each."""
        side = attempt.claim.side
        self._provider = tools.provider(attempt.model, side)
        self._quota = tools.quota(side)
        self._ruler = tools.ruler(attempt.model)
        self._patience = Patience(tools.settings.provider_patience_seconds, stop, on_wait)
        self._budget = tools.account.budget(attempt.migration, side, stop, on_wait)
        self._count = functools.partial(tools.tally.count, attempt.migration.id)
        self._stop = stop
        self._on_wait = on_wait

    def of(self, batch: Batch) -> list[Apart]:
        """The answers to a batch's requests, waiting out what passes. Raises what keeps the first from its answer."""

        def request(texts: Sequence[str]) -> Embedded:
            return ask(
                self._provider, self._quota, self._ruler, texts, batch.estimate(texts),
                stop=self._stop, on_wait=self._on_wait, count=self._count, budget=self._budget,
            )  # fmt: skip

        answers: list[Apart] = []
        for part in batch.requests:
            texts = batch.sent[part.start : part.stop]
            try:
                answers.append(embed_apart(lambda texts: self._patience.call(request, texts), texts))
            except errors.ReembedError as error:
                if not answers:
                    raise
                # What was answered is paid for
                answers[-1] = replace(answers[-1], fault=error)
            if answers[-1].fault is not None:
                break
        return answers


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
