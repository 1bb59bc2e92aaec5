"""Texts embedded for a judgement as workers embed theirs: within the quota, many to a request, what passes waited out.

One refusal must not make a judgement a weaker one that passes. Where waiting does not help either, there is none.
"""

import dataclasses
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from reembed import errors, settings
from reembed.database.ledger import Side
from reembed.database.requests import Outcome
from reembed.embedding import packing
from reembed.embedding.patience import Patience
from reembed.embedding.provider import Provider
from reembed.embedding.wire import Embedded
from reembed.events import Event
from workers import asking
from workers.quota import Quota
from workers.ruler import Ruler

_log = logging.getLogger(__name__)


class NoAnswer(errors.ReembedError):
    """The {side} model {model} does not answer, and nothing was judged without it: {reason}.

    `reembed validate` once it answers; a migration's first judgement is tried again by itself.
    """


@dataclass(frozen=True)
class Answer:
    vectors: NDArray[np.float32]
    """(texts, dimensions)."""
    tokens: int
    """Billed."""


def documents(environment: Settings, side: Side, model: settings.Model, texts: Sequence[str]) -> Answer:
    """The vectors of the texts, at least one, by the model of this side.

    Raises NoAnswer where a passing fault outlasts PROVIDER_PATIENCE_SECONDS; errors.Broken, errors.RequestRefused.
    """
    endpoint = environment.new_endpoint if side == "new" else environment.old_endpoint
    quota = Quota.of(environment) if side == "new" else Quota.of_the_old_model(environment)
    ruler = Ruler.of(model.name)
    stop = threading.Event()

    def on_wait(reason: str, seconds: float) -> None:
        _log.info(Event("judgement_waits", side=side, seconds=round(seconds, 1), reason=reason))

    patience = Patience(environment.provider_patience_seconds, stop, on_wait)
    lengths = [ruler.count(text) for text in texts]
    most = packing.largest_request(environment.embed_batch_tokens, *quota.limits)
    try:
        with Provider(endpoint, model, timeout_seconds=environment.provider_timeout_seconds) as provider:

            def request(part: range) -> Embedded:
                return asking.ask(
                    provider, quota, ruler, [texts[place] for place in part],
                    sum(lengths[place] for place in part), stop=stop, on_wait=on_wait, count=_uncounted,
                )  # fmt: skip

            requests = packing.pack(lengths, environment.embed_batch_size, most)
            answers = [patience.call(request, part) for part in requests]
    except errors.Transient as fault:
        raise no_answer(side, model, fault) from fault
    finally:
        quota.close()
    return Answer(
        np.concatenate([answer.vectors for answer in answers]), sum(answer.tokens for answer in answers)
    )


def queries(environment: Settings, side: Side, model: settings.Model, texts: Sequence[str]) -> Answer:
    """The same for texts that are queries."""
    # To a provider a query is a document with another prefix
    return documents(environment, side, dataclasses.replace(model, document_prefix=model.query_prefix), texts)


def no_answer(side: Side, model: settings.Model, fault: errors.ReembedError) -> NoAnswer:
    return NoAnswer(side=side, model=model.name, reason=fault.what)


def _uncounted(_outcome: Outcome, _seconds: float) -> None:
    """`status` counts the requests of workers; a judgement's tokens are in its report."""
