"""A provider with a Batch API, and what a test wants to know of it."""

from collections.abc import Iterator

import pytest

from config.settings import Settings
from orchestrator.embedded.provider import EmbeddingServer
from orchestrator.embedded.stack import Stack
from tests.integration.jobs.worker import FIRST, Count, Made, Paid


@pytest.fixture
def provider(stack: Stack) -> Iterator[EmbeddingServer]:
    """Sound again after the test."""
    yield stack.provider
    stack.provider.recover()
    stack.provider.hold_jobs(0)


@pytest.fixture
def batch(settings: Settings) -> Settings:
    """What is more than one text goes by a job, and a job is looked at again at once."""
    return settings.model_copy(
        update={"provider_mode": "batch", "embed_batch_size": 1, "provider_job_look_seconds": 0.05}
    )


@pytest.fixture
def directly(provider: EmbeddingServer) -> Count:
    """Requests that were not made by a job since the test began."""
    before = len(provider.arrivals())
    return lambda: len(provider.arrivals()) - before


@pytest.fixture
def paid(provider: EmbeddingServer) -> Paid:
    """How often each text of the first chunk was answered since the test began."""
    before = [provider.times_embedded(text) for text in FIRST]
    return lambda: [
        provider.times_embedded(text) - earlier for text, earlier in zip(FIRST, before, strict=True)
    ]


@pytest.fixture
def made(provider: EmbeddingServer) -> Made:
    """The jobs that the provider was given since the test began, the oldest first."""
    before = len(provider.jobs())
    return lambda: list(reversed(provider.jobs()))[before:]
