"""A table in a fresh database, and a migration of it that is under way."""

from collections.abc import Callable, Iterator

import pytest
import redis
from psycopg import sql

from config.settings import Settings
from orchestrator import checks, dispatch, start
from orchestrator.embedded.stack import Stack
from reembed.database import chunks, connection, ledger
from reembed.database import storage as vector_storage
from reembed.database.ledger import Migration
from tests import installation
from tests.integration import site

DOCUMENTS = sql.Identifier("documents")
BOTH_STORAGES = pytest.mark.parametrize("storage", ["column", "companion"])


@pytest.fixture
def documents_table(database: connection.Connection) -> sql.Identifier:
    """Twelve documents with keys 7, 14, ..., 84."""
    installation.make_table(database, DOCUMENTS, installation.texts(12))
    return DOCUMENTS


@pytest.fixture
def storage() -> str:
    """Where the new vectors live; a module that says BOTH_STORAGES runs with each."""
    return "column"


@pytest.fixture
def planned(
    database: connection.Connection, settings: Settings, documents_table: sql.Identifier, storage: str
) -> Migration:
    """A migration in chunks of five documents, expanded, in state `planned`."""
    settings = settings.model_copy(update={"chunk_size": 5, "storage": storage})
    migration = start.create(database, settings, checks.documents_table(database, settings))
    vector_storage.expand(database, migration)
    return migration


@pytest.fixture
def migration(database: connection.Connection, planned: Migration) -> Migration:
    """The same in state `backfilling`, with its chunks."""
    chunks.plan(database, planned)
    ledger.change_state(database, planned, "backfilling")
    return ledger.get(database, planned.id)


@pytest.fixture
def broker(stack: Stack, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """The real broker, empty, with no worker at it."""
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, stack.environment("any")[name])
    monkeypatch.setenv("DATABASE_URL", settings.database)
    client = redis.Redis.from_url(stack.redis.url(0))
    client.flushdb()
    return client


@pytest.fixture
def nothing_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is the worker."""
    monkeypatch.setattr(dispatch, "publish", lambda connection, migration_id: 0)
    monkeypatch.setattr(dispatch, "publish_lost", lambda connection, migration_id: None)


@pytest.fixture(scope="module", params=["column", "companion"])
def judged(
    request: pytest.FixtureRequest, stack: Stack, new_database: Callable[[], str]
) -> Iterator[site.Site]:
    """A migration that is `ready`, one for all tests of a module: each leaves the flag as it found it."""
    with site.made(stack, new_database(), request.param) as made:
        yield made


@pytest.fixture
def ready_site(judged: site.Site) -> Iterator[site.Site]:
    """The same, with the flag on the old column whatever the test before it did."""
    judged.to_old()
    yield judged
    judged.to_old()
