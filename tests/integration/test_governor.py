"""A worker spares a busy database, says so, keeps its chunk, and goes on when the others are done."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg
import pytest

from config.settings import Settings
from orchestrator import checks, progress
from reembed.database import chunks, connection, documents, queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import waiting
from workers import backfill, drain, governor
from workers.tools import Tools


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(governor, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(governor, "_PROBE_SECONDS", 1.0)


@contextmanager
def working(settings: Settings, migration: Migration) -> Iterator[threading.Thread]:
    """A worker at every chunk, in a thread; at the end of the block it has done what it does."""
    tools = Tools(settings)

    def work() -> None:
        for number in (1, 2, 3):
            backfill.embed_chunk(tools, migration.id, number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
        thread.join(30)
        assert not thread.is_alive()
    finally:
        tools.close()
        thread.join(10)


@contextmanager
def at_work(url: str, sessions: int) -> Iterator[None]:
    """So many sessions of an application that do something."""
    with ExitStack() as stack:
        for _ in range(sessions):
            session = stack.enter_context(psycopg.connect(url, autocommit=True))
            thread = threading.Thread(target=_sleep, args=(session,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(session.cancel_safe)
        yield


def _sleep(session: Connection) -> None:
    with suppress(psycopg.errors.QueryCanceled):
        session.execute("SELECT pg_sleep(60)")


def reason(database: Connection, migration: Migration) -> str:
    return progress.status(database, migration).waiting_for or ""


def others(database: Connection) -> int:
    return int(queries.one(database, "server_load")["active_sessions"])


def test_a_worker_stands_still_while_too_many_sessions_are_at_work_and_says_so(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    governed = settings.model_copy(update={"govern_active_sessions": 2, "chunk_lease_seconds": 1.0})
    with ExitStack() as busy:
        busy.enter_context(at_work(settings.database, 3))
        waiting.until(lambda: others(database) == 3)
        with working(governed, migration) as worker:
            waiting.until(lambda: "sessions of others" in reason(database, migration))
            assert reason(database, migration) == (
                "the database: 3 sessions of others are at work, over GOVERN_ACTIVE_SESSIONS=2"
            )
            # Longer than the lease, which is kept alive
            time.sleep(2.5)
            assert documents.census(database, migration).embedded == 0
            counts = chunks.count(database, migration.id)
            assert (counts.running, counts.done) == (1, 0)
            assert chunks.rescue(database, migration.id, max_strikes=9) == 0
            assert worker.is_alive()
            busy.close()
    assert documents.census(database, migration).embedded == 12
    assert chunks.count(database, migration.id).done == 3
    assert reason(database, migration) == ""


def test_sessions_of_our_own_are_not_others(database: Connection, settings: Settings) -> None:
    with connection.connect(settings.database, "worker") as ours:
        thread = threading.Thread(target=_sleep, args=(ours,))
        thread.start()
        active = (
            "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
        )
        waiting.until(lambda: database.execute(active).fetchall() == [(1,)])
        assert others(database) == 0
        ours.cancel_safe()
        thread.join()
    with at_work(settings.database, 2):
        waiting.until(lambda: others(database) == 2)


def test_a_worker_slows_down_while_writing_is_slow(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    database.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$"
    )
    database.execute(
        "CREATE TRIGGER dawdle AFTER UPDATE ON documents FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
    )
    slowly = {"govern_write_milliseconds": 100.0, "embed_batch_size": 1, "embed_concurrency": 1}
    with working(settings.model_copy(update=slowly), migration):
        waiting.until(lambda: "writing a batch takes" in reason(database, migration))
        assert reason(database, migration).startswith("the database: writing a batch takes 3")
        # The first one, and one a second
        time.sleep(2.5)
        assert 2 <= documents.census(database, migration).embedded <= 4
        assert chunks.count(database, migration.id).done == 0
        database.execute("DROP TRIGGER dawdle ON documents")
    assert documents.census(database, migration).embedded == 12


def test_a_worker_that_is_held_and_told_to_leave_gives_its_chunk_back(
    database: Connection, settings: Settings, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    governed = settings.model_copy(update={"govern_active_sessions": 1})
    with at_work(settings.database, 2), working(governed, migration):
        waiting.until(lambda: "sessions of others" in reason(database, migration))
        monkeypatch.setattr(drain, "requested", lambda: True)
    counts = chunks.count(database, migration.id)
    assert (counts.running, counts.done, counts.pending) == (0, 0, 3)


def test_a_server_without_standbys_has_none_that_lags(database: Connection) -> None:
    load = queries.one(database, "server_load")
    assert load["written"] > 0
    assert (load["replayed"], load["measured"]) == (None, None)


def test_a_role_that_cannot_see_what_to_heed_is_told_so_before_anything_begins(
    database: Connection, settings: Settings, documents_table: object
) -> None:
    found = checks.documents_table(database, settings)
    database.execute("CREATE ROLE blind LOGIN")
    try:
        with psycopg.connect(settings.database, user="blind", autocommit=True) as blind:
            checks.governor(blind, settings.model_copy(update={"govern_write_milliseconds": 9.0}), found)
            looking = settings.model_copy(update={"govern_active_sessions": 9})
            with pytest.raises(checks.MayNotSee) as error:
                checks.governor(blind, looking, found)
            assert error.value.exit_code == 2
            assert str(error.value) == (
                "GOVERN_ACTIVE_SESSIONS cannot be heeded: the database role blind does not see what other roles' "
                "sessions are at. GRANT pg_read_all_stats to it, or unset GOVERN_ACTIVE_SESSIONS."
            )
            database.execute("GRANT pg_read_all_stats TO blind")
            checks.governor(blind, looking, found)
    finally:
        database.execute("DROP ROLE blind")
