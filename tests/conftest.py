"""The embedded stack, once for each process of the tests; a fresh database for each test, from a template."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from config.settings import Settings
from orchestrator.embedded import stack as embedded
from reembed.database import connection
from tests import parallel
from tests.installation import Installation

_TEMPLATE = "template_with_vector"


def pytest_configure() -> None:
    if not _one_of_several():
        parallel.mark()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _one_of_several():
        items.sort(key=lambda item: parallel.place(item.path))


def pytest_keyboard_interrupt() -> None:
    # pytest-xdist kills this process ten seconds later, and the fixtures have to be left by then
    if _one_of_several():
        parallel.end_children()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name in parallel.end_the_rest():
        terminalreporter.write_line(f"{name} was left running by a test")


def pytest_unconfigure() -> None:
    # Again: whoever presses Ctrl-C twice sees no summary
    if not _one_of_several():
        parallel.end_the_rest()


def _one_of_several() -> bool:
    """Whether this is a process that pytest-xdist has started."""
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Stack]:
    with embedded.running() as running:
        running.postgres.create_database(_TEMPLATE)
        with psycopg.connect(running.postgres.url(_TEMPLATE), autocommit=True) as template:
            template.execute("CREATE EXTENSION vector")
        yield running


@pytest.fixture(scope="session")
def new_database(stack: embedded.Stack) -> Callable[[], str]:
    """Makes a database with pgvector and returns its name."""
    numbers = itertools.count(1)

    def make() -> str:
        name = f"test_{next(numbers)}"
        stack.postgres.create_database(name, template=_TEMPLATE)
        return name

    return make


@pytest.fixture(scope="session")
def new_installation(
    stack: embedded.Stack, new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Installation]:
    """Makes an installation of its own: a database, a pair of Redis databases, no process yet."""
    numbers = itertools.count(1)

    def make(**environment: str) -> Installation:
        return Installation(
            stack, new_database(), next(numbers), tmp_path_factory.mktemp("logs"), environment
        )

    return make


@pytest.fixture
def database(stack: embedded.Stack, new_database: Callable[[], str]) -> Iterator[connection.Connection]:
    """A connection to a fresh database."""
    name = new_database()
    with connection.connect(stack.postgres.url(name), "test") as fresh:
        yield fresh
    stack.postgres.drop_database(name)


@pytest.fixture
def settings(stack: embedded.Stack, database: connection.Connection) -> Settings:
    """An environment that points to the fresh database and the built-in models."""
    with redis.Redis.from_url(stack.redis.url(1)) as client:
        # The quota of the test before, and the pauses in it
        client.flushdb()
    environment = stack.environment(database.info.dbname)
    return Settings.model_validate(
        {name.lower(): value for name, value in environment.items()}
        | {
            "embed_model": "lexical-ngrams",
            "embed_dimensions": 64,
            "old_embed_model": "lexical-words",
            "old_embed_dimensions": 32,
        }
    )


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the person who runs the tests has set is not for them."""
    for name in [*Settings.model_fields, "celery_result_backend"]:
        monkeypatch.delenv(name.upper(), raising=False)
