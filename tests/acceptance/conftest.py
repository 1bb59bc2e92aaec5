"""One installation with running workers for all tests that harm nobody; those that do make their own."""

from collections.abc import Callable, Iterator

import pytest

from orchestrator.embedded.provider import EmbeddingServer
from tests.installation import Installation


@pytest.fixture(scope="session")
def shared(new_installation: Callable[..., Installation]) -> Iterator[Installation]:
    """Two workers, a control worker and the schedule, on a database of their own: each test uses its own table."""
    installation = new_installation()
    with installation.processes(workers=2):
        yield installation


@pytest.fixture(scope="module")
def impatient(new_installation: Callable[..., Installation]) -> Iterator[Installation]:
    """Two workers with small requests and little patience, whose provider is there to be broken; tables as above."""
    made = new_installation(
        CHUNK_SIZE="20",
        EMBED_BATCH_SIZE="5",
        EMBED_CONCURRENCY="2",
        PROVIDER_PATIENCE_SECONDS="4",
        PROVIDER_TIMEOUT_SECONDS="3",
    )
    with made.processes(workers=2):
        yield made


@pytest.fixture
def provider(impatient: Installation) -> Iterator[EmbeddingServer]:
    """The provider of these workers; sound again after the test, whatever the test did to it."""
    provider = impatient.stack.provider
    yield provider
    provider.recover()
    provider.set_latency(0)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What points a command to another server of the same models: `start` looks whether the model answers."""
    server = EmbeddingServer(tmp_path_factory.mktemp("elsewhere"))
    try:
        server.launch()
        server.wait_until_ready()
        yield {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.api_key}
    finally:
        server.stop()
