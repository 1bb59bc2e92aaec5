"""A real standby, as the governor and the doctor see it."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo
from pydantic import SecretStr

from config.settings import Settings
from orchestrator.doctor import examination, roll_call
from orchestrator.embedded import account, process
from orchestrator.embedded.stack import Stack
from reembed.database.connection import Connection
from workers import governor
from workers.governor import Governor, Load


@pytest.fixture
def standby(stack: Stack, database: Connection) -> Iterator[Connection]:
    """A connection to a hot standby of the stack's server."""
    programs = Path(f"/proc/{stack.postgres.pid}/exe").readlink().parent
    server = Path(str(conninfo.conninfo_to_dict(stack.postgres.url())["host"]))
    directory = server / "standby"
    owner = account.Account.for_postgres()
    copy = process.Process(
        "pg_basebackup",
        [
            *(programs / "pg_basebackup", "--host", server, "--username", "postgres", "--pgdata", directory),
            *("--checkpoint", "fast", "--write-recovery-conf", "--no-sync"),
        ],
        stack.directory / "basebackup.log",
        user=owner,
        directory=server,
    )
    running = process.Process(
        "standby",
        [programs / "postgres", "-D", directory, "-k", directory],
        stack.directory / "standby.log",
        user=owner,
        directory=server,
    )
    try:
        copy.start()
        copy.wait_for_success(60)
        running.start()
        running.wait_for_log("database system is ready to accept read-only connections", 30)
        with psycopg.connect(f"postgresql://postgres@/postgres?host={directory}", autocommit=True) as reader:
            yield reader
    finally:
        running.terminate(stop_signal=signal.SIGQUIT)
        shutil.rmtree(directory, ignore_errors=True)


def test_a_standby_that_replays_nothing_holds_the_workers_until_it_does(
    database: Connection, standby: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(governor, "_LOOK_SECONDS", 0.05)
    governed = Governor(Load(replication_lag_seconds=1.0))

    def reason_within(seconds: float, *, held: bool) -> str | None:
        deadline = time.monotonic() + seconds
        while True:
            # An application that writes
            database.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")
            reason = governed.hold(database)
            if (reason is not None) == held or time.monotonic() > deadline:
                return reason
            time.sleep(0.05)

    assert reason_within(5, held=False) is None
    standby.execute("SELECT pg_wal_replay_pause()")
    reason = reason_within(15, held=True)
    assert reason is not None
    assert reason.startswith("the database: a standby is ")
    assert reason.endswith(" s behind, over GOVERN_REPLICATION_LAG_SECONDS=1")
    standby.execute("SELECT pg_wal_replay_resume()")
    assert reason_within(15, held=False) is None


def test_the_doctor_tells_a_standby_from_its_primary_and_says_who_should_heed_it(
    standby: Connection,
    settings: Settings,
    documents_table: object,
    broker: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roll_call, "_SECONDS", 0.05)

    def seen(**more: object) -> set[str]:
        findings = examination.examine(settings.model_copy(update=more))
        return {finding.id for finding in findings if finding.severity != "info"}

    directory = conninfo.conninfo_to_dict(standby.info.dsn)["host"]
    there = SecretStr(f"postgresql://postgres@/postgres?host={directory}")
    assert "replication.ungoverned" in seen()
    assert "replication.ungoverned" not in seen(govern_replication_lag_seconds=10.0)
    assert "database.standby" in seen(database_url=there, database_direct_url=None)
