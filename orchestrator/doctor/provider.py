"""The provider: one real call, as `start` makes it, and what came with the answer."""

import time
from collections.abc import Iterator

import numpy as np

from config.settings import Settings
from orchestrator import checks
from orchestrator.doctor.finding import Finding

# A vector whose length differs from 1 by more is not normalized
_NORM = 0.01


def look(settings: Settings) -> Iterator[Finding]:
    """Raises what checks.provider and checks.jobs raise."""
    began = time.perf_counter()
    answer = checks.provider(settings)
    seconds = time.perf_counter() - began
    heard = answer.limits
    limits = (
        f"announces {heard.requests:,} requests and {heard.tokens:,} tokens a minute"
        if heard.requests or heard.tokens
        else "announces no limits"
    )
    yield Finding(
        "provider.answers",
        "info",
        f"{settings.new_model} answered in {1000 * seconds:,.0f} ms with {settings.embed_dimensions:,} dimensions, and "
        f"{limits}.",
        "",
    )
    if settings.provider_mode == "batch":
        checks.jobs(settings)
        yield Finding("provider.jobs", "info", "It has a Batch API, for PROVIDER_MODE=batch.", "")
    yield from _over("EMBED_REQUESTS_PER_MINUTE", settings.embed_requests_per_minute, heard.requests)
    yield from _over("EMBED_TOKENS_PER_MINUTE", settings.embed_tokens_per_minute, heard.tokens)
    norm = float(np.linalg.norm(answer.vectors[0]))
    if settings.index_metric == "ip" and abs(norm - 1) > _NORM:
        yield Finding(
            "provider.norm",
            "warning",
            f"A vector of {settings.new_model} has the length {norm:.2f}, and INDEX_METRIC=ip prefers long ones.",
            "Set INDEX_METRIC=cosine, unless the model is meant to be searched so.",
        )


def _over(variable: str, wanted: int, allowed: int) -> Iterator[Finding]:
    if 0 < allowed < wanted:
        yield Finding(
            "provider.quota",
            "warning",
            f"{variable}={wanted} is more than the provider allows: {allowed:,} a minute, which counts.",
            f"Set {variable} to your share of it, if others use the same key.",
        )
