"""Other brokers than a Redis on loopback: RabbitMQ, and a Redis with TLS whose user may do what the guide says."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from orchestrator.embedded.process import CHECKOUT
from tests import brokers, installation
from tests.installation import Installation

DOCUMENTS = sql.Identifier("documents")
TEXTS = [f"by another broker: {text}" for text in installation.texts(200)]


def guide_rule() -> str:
    """The line of Redis's access list in docs/security.md."""
    (block,) = re.findall(
        r"```text\n(user reembed .*?)```", (CHECKOUT / "docs/security.md").read_text(), re.DOTALL
    )
    return " ".join(block.split())


@pytest.fixture
def own(new_installation: Callable[..., Installation]) -> Iterator[Installation]:
    """200 documents in chunks of 20, embedded five at a time by a provider that is slow."""
    made = new_installation(
        CHUNK_SIZE="20", EMBED_BATCH_SIZE="5", EMBED_CONCURRENCY="2", EMBED_REQUESTS_PER_MINUTE="100000"
    )
    with made.connect() as database:
        installation.make_table(database, DOCUMENTS, TEXTS)
    made.stack.provider.set_latency(300)
    try:
        yield made
    finally:
        made.stack.provider.set_latency(0)


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[brokers.RabbitMQ]:
    if not brokers.RABBITMQ.exists():
        pytest.skip("no RabbitMQ here: apt-get install rabbitmq-server")
    node = brokers.RabbitMQ(tmp_path)
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def new_redis(tmp_path: Path) -> Iterator[Callable[[str], brokers.SecureRedis]]:
    """Starts a Redis with this line in its access list."""
    if not brokers.REDIS.exists():
        pytest.skip("no Redis with TLS here: apt-get install redis-server")
    started: list[brokers.SecureRedis] = []

    def start(rule: str) -> brokers.SecureRedis:
        server = brokers.SecureRedis(tmp_path, rule)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


def migrate_and_kill_a_worker(own: Installation) -> None:
    with own.processes(workers=2) as workforce:
        assert own.reembed("start").code == 0
        own.wait_for(lambda status: status["embedded"] >= 20)
        workforce.workers[0].kill()
        own.stack.provider.set_latency(0)
        finished = own.wait_for(
            lambda status: status["state"] in ("ready", "needs_review", "failed", "paused")
        )
    assert (finished["state"], finished["failed"]) == ("ready", 0)
    with own.connect() as database:
        assert installation.wrong_documents(database, DOCUMENTS) == []


def test_a_migration_by_rabbitmq_survives_a_worker_that_is_killed(
    own: Installation, rabbitmq: brokers.RabbitMQ
) -> None:
    own.environment["CELERY_BROKER_URL"] = rabbitmq.url
    migrate_and_kill_a_worker(own)


def test_a_migration_by_redis_with_tls_needs_no_more_rights_than_the_guide_gives(
    own: Installation, new_redis: Callable[[str], brokers.SecureRedis]
) -> None:
    server = new_redis(guide_rule())
    own.environment |= dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"), server.url)
    migrate_and_kill_a_worker(own)
    with server.administrator() as administrator:
        refused = [(entry["object"], entry["reason"]) for entry in administrator.acl_log()]
        assert set(refused) == set(), refused
