"""Faults: what a provider's refusal, or its silence, means for a migration. Pure functions.

A fault is charged to whom it belongs. Only what may be a text's own becomes errors.RequestRefused; a fault of
the key, the model, the quota or the address is no document's.
"""

import email.utils
import math
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx2
import openai

from reembed import errors
from reembed.embedding import words

_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_MODEL_CODES = {"model_not_found", "invalid_model"}

# A gateway's: it may have lost an answer. Any other status is the answer, and without vectors it is billed nothing
_ANSWER_LOST = {502, 504}

# The connection was never made
_NO_CONNECTION = (
    httpx2.ConnectError,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.TooManyRedirects,
)
# It was not made either, but the next may be: a name server under load, a balancer that drops connections
_PASSING = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)


@dataclass(frozen=True)
class Asked:
    """Who was asked for what. The key and the texts are here so that they can be kept out of messages."""

    base_url: str
    model: str
    api_key: str = field(repr=False)
    texts: Sequence[str] = field(repr=False)


def of_answer(status: int, headers: Mapping[str, str], body: bytes, asked: Asked) -> errors.ReembedError:
    """The error for an answer that is not 2xx; `headers` by their names in lower case."""
    said = words.read(body)
    message = words.presentable(said.message, asked.api_key, asked.texts)
    reason = f"{message} (status {status})" if message else f"status {status}, and not a word"
    if status in {408, 409} or status >= 500:
        return errors.ProviderUnavailable(
            reason=reason,
            retry_after=retry_after(headers, datetime.now(UTC)),
            may_be_billed=status in _ANSWER_LOST,
        )
    if status == 402 or said.codes & _QUOTA_CODES:
        return errors.ProviderQuotaSpent(base_url=asked.base_url, reason=reason)
    if status == 429:
        return errors.ProviderOverloaded(reason=reason, retry_after=retry_after(headers, datetime.now(UTC)))
    if status == 404 or said.codes & _MODEL_CODES:
        return errors.ProviderUnknownModel(base_url=asked.base_url, model=asked.model, reason=reason)
    if status in {401, 403} or "invalid_api_key" in said.codes:
        return errors.ProviderRefusedKey(base_url=asked.base_url, reason=reason)
    if status in {400, 413, 422}:
        return errors.RequestRefused(reason=reason)
    return errors.Broken(reason=f"the provider at {asked.base_url} has no use for the request: {reason}")


def of_silence(error: openai.APIConnectionError, base_url: str) -> errors.ReembedError:
    """The error for no answer at all: a time-out, a connection that broke, or one that was never made."""
    cause = error.__cause__
    reason = str(cause).rstrip(".") or type(cause).__name__
    if isinstance(error, openai.APITimeoutError):
        return errors.ProviderUnavailable(reason=f"no answer in time ({type(cause).__name__})")
    if isinstance(cause, _NO_CONNECTION) and not _passes(cause):
        return errors.ProviderUnreachable(base_url=base_url, reason=reason)
    return errors.ProviderUnavailable(reason=reason)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the provider asks to wait, 0 for a time that has passed; None where it names none."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max((date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds(), 0.0)


def _passes(error: BaseException) -> bool:
    root = error
    while inner := root.__cause__ or root.__context__:
        root = inner
    return isinstance(root, _PASSING) or (
        isinstance(root, socket.gaierror) and root.errno == socket.EAI_AGAIN
    )
