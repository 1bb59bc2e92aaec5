"""Behind pgbouncer with pool_mode = transaction: each transaction may meet another session of the server."""

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql
from pydantic import SecretStr

from config.settings import Settings
from orchestrator import advance, checks, start
from orchestrator import tasks as control
from orchestrator.doctor import pooler as looking
from orchestrator.embedded import account, process
from orchestrator.embedded.stack import Stack
from orchestrator.validation import judge
from reembed.database import chunks, connection, documents, ledger
from reembed.database.connection import Connection
from tests import installation
from workers import backfill
from workers.tools import Tools

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

# Fewer sessions of the server than there are clients, so that they have to share
CONFIGURATION = """
[databases]
* = host={server} user=postgres
[pgbouncer]
unix_socket_dir = {directory}
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not installed (apt-get install pgbouncer)"
)


def listens(path: Path) -> bool:
    """The socket is there a moment before anybody answers."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@pytest.fixture
def pooler(stack: Stack, database: Connection) -> Iterator[str]:
    """A URL of the fresh database, through pgbouncer."""
    assert PROGRAM is not None
    name = database.info.dbname
    server = Path(str(conninfo.conninfo_to_dict(stack.postgres.url())["host"]))
    directory = server / f"pooler-{name}"
    directory.mkdir()
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(CONFIGURATION.format(server=server, directory=directory))
    owner = account.Account.for_postgres()
    if owner is not None:
        shutil.chown(directory, owner.uid, owner.gid)
    pgbouncer = process.Process(
        "pgbouncer",
        [PROGRAM, configuration],
        stack.directory / "pgbouncer.log",
        user=owner,
        directory=directory,
    )
    try:
        pgbouncer.start()
        pgbouncer.wait_until(lambda: listens(directory / ".s.PGSQL.6432"), 10)
        yield f"postgresql://postgres@/{name}?host={directory}&port=6432"
    finally:
        pgbouncer.terminate()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def pooled(
    stack: Stack, database: Connection, settings: Settings, pooler: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The environment of an installation behind the pooler."""
    environment = stack.environment(database.info.dbname) | {
        "DATABASE_URL": pooler,
        "DATABASE_POOLER": "transaction",
        "DATABASE_DIRECT_URL": settings.database,
        "EMBED_MODEL": settings.embed_model,
        "EMBED_DIMENSIONS": str(settings.embed_dimensions),
        "CHUNK_SIZE": "25",
        "EMBED_BATCH_SIZE": "2",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def in_turns(*clients: Connection) -> None:
    """A statement that each of them runs often enough to prepare it."""
    for _ in range(20):
        for client in clients:
            client.execute("SELECT %s::int", [1])


def test_the_pooler_does_what_it_is_there_for(pooler: str) -> None:
    """What one client prepared is there twice, or not at all, for the next."""
    faults = (psycopg.errors.DuplicatePreparedStatement, psycopg.errors.InvalidSqlStatementName)
    with (
        connection.connect(pooler, "first") as first,
        connection.connect(pooler, "second") as second,
        pytest.raises(faults),
    ):
        in_turns(first, second)


def test_nothing_is_prepared_behind_a_pooler(pooler: str) -> None:
    with (
        connection.connect(pooler, "first", pooled=True) as first,
        connection.connect(pooler, "second", pooled=True) as second,
    ):
        in_turns(first, second)
        assert first.execute("SELECT count(*) FROM pg_prepared_statements").fetchall() == [(0,)]


def test_without_a_pooler_statements_are_prepared(database: Connection) -> None:
    in_turns(database)
    count = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int%'"
    assert database.execute(count).fetchall() == [(1,)]


def test_a_whole_migration_goes_through_a_pooler(database: Connection, pooled: Settings) -> None:
    installation.make_table(database, sql.Identifier("documents"), installation.texts(400))
    workers = [Tools(pooled) for _ in range(3)]
    with connection.connect(pooled.database, "command", pooled=pooled.pooled) as command:
        started = start.start(command, pooled)
        assert started.chunks == 16

        def work(tools: Tools) -> None:
            for number in range(1, 17):
                backfill.embed_chunk(tools, started.migration.id, number)

        # Three workers and a command share two sessions
        threads = [threading.Thread(target=work, args=(tools,)) for tools in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for tools in workers:
            tools.close()
        assert chunks.count(command, started.migration.id).done == 16
        assert documents.census(command, started.migration).embedded == 400
        # The control worker has its way past the pooler
        control.advance(started.migration.id)
        assert ledger.get(command, started.migration.id).state == "ready"
        for _ in range(2):
            assert judge.again(command, pooled, ledger.get(command, started.migration.id)).passed
    assert installation.wrong_documents(database, sql.Identifier("documents")) == []


def test_a_judgement_leaves_no_setting_in_the_sessions_of_others(
    database: Connection, settings: Settings, migration: object
) -> None:
    found = ledger.latest(database, "public", "documents")
    judge.judge(database, settings, found)
    row = database.execute("SELECT current_setting('hnsw.ef_search', true)").fetchone()
    assert row is not None
    assert row[0] in ("40", "")


def test_the_doctor_notices_a_pooler_that_nobody_told_of(
    database: Connection, settings: Settings, pooled: Settings, pooler: str, documents_table: object
) -> None:
    def seen(asked: Settings) -> set[str]:
        return {finding.id for finding in looking.look(asked)}

    unnamed = {"database_url": SecretStr(pooler), "database_pooler": "none", "database_direct_url": None}
    assert seen(settings) == set()
    assert seen(pooled) == set()
    assert seen(pooled.model_copy(update={"database_direct_url": SecretStr(pooler)})) == {"pooler.direct"}
    assert seen(pooled.model_copy(update=unnamed)) == {"pooler.unnamed"}
    # No setting of ours was left in the sessions of others
    with connection.connect(pooler, "test", pooled=True) as other:
        row = other.execute(
            "SELECT current_setting('row_security'), current_setting('transaction_read_only')"
        ).fetchone()
    assert row == ("on", "off")


def test_two_control_workers_do_not_meet_in_one_session(
    database: Connection, pooled: Settings, documents_table: object
) -> None:
    """The reason for DATABASE_DIRECT_URL: through the pooler both may hold the lock of one session of the server."""
    migration = start.create(database, pooled, checks.documents_table(database, pooled))
    for url, alone in ((pooled.direct_database, [True, False]), (pooled.database, [True, True])):
        with (
            connection.connect(url, "control", pooled=True) as first,
            connection.connect(url, "control", pooled=True) as second,
            advance._alone(first, migration.id) as one,
            advance._alone(second, migration.id) as other,
        ):
            assert [one, other] == alone
