"""The ledger's rules are the database's: each test tries to break one."""

import dataclasses
import itertools
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest
from psycopg import errors as pg

from config.settings import Settings
from reembed import errors
from reembed.database import chunks, connection, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import waiting

STATES = {
    "planned", "backfilling", "paused", "indexing", "validating", "ready", "needs_review",
    "switched", "cleaning", "cleaned", "aborted", "failed",
}  # fmt: skip


def claim(
    database: Connection, migration: Migration, number: int, owner: str = "worker"
) -> chunks.Claim | None:
    return chunks.claim(database, migration.id, number, owner=owner, lease_seconds=30, max_strikes=3)


def claimed(database: Connection, migration: Migration, number: int) -> chunks.Claim:
    found = claim(database, migration, number)
    assert found is not None
    return found


def test_every_change_of_state_that_the_table_of_transitions_lacks_is_refused(
    database: Connection, planned: Migration
) -> None:
    allowed = set(
        database.execute(
            "SELECT from_state, to_state FROM reembed.transitions WHERE thing = 'migration'"
        ).fetchall()
    )
    assert {state for arrow in allowed for state in arrow} == STATES
    for from_state, to_state in itertools.permutations(STATES, 2):
        with database.transaction(force_rollback=True):
            # Past the guard, to stand in the state that the arrow starts from
            database.execute("ALTER TABLE reembed.migrations DISABLE TRIGGER check_transition")
            database.execute("UPDATE reembed.migrations SET state = %s", [from_state])
            database.execute("ALTER TABLE reembed.migrations ENABLE TRIGGER check_transition")
            standing = dataclasses.replace(planned, state=from_state)
            if (from_state, to_state) in allowed:
                assert ledger.change_state(database, standing, to_state)
            else:
                with pytest.raises(pg.CheckViolation, match=f"cannot go from {from_state} to {to_state}"):
                    ledger.change_state(database, standing, to_state)


def test_of_two_who_change_the_state_one_succeeds(database: Connection, migration: Migration) -> None:
    assert ledger.change_state(database, migration, "indexing")
    assert not ledger.change_state(database, migration, "indexing")


def test_a_table_has_one_migration_under_way(database: Connection, migration: Migration) -> None:
    with pytest.raises(errors.Refused) as refused:
        ledger.create(
            database, migration.table, old_type="vector", old_dimensions=32, old_model=None,
            new_model=migration.new_model, index_method="none", metric="l2", chunk_size=1,
        )  # fmt: skip
    assert str(refused.value) == (
        "Migration 1 of public.documents to lexical-ngrams (64) is under way (backfilling). "
        "`reembed status` shows it; `reembed abort` gives it up."
    )


def test_chunks_follow_the_keys_that_exist(database: Connection, migration: Migration) -> None:
    rows = database.execute(
        "SELECT number, first_id, last_id, documents FROM reembed.chunks ORDER BY number"
    ).fetchall()
    assert rows == [(1, "7", "35", 5), (2, "42", "70", 5), (3, "77", "84", 2)]


def test_a_chunk_is_claimed_by_one_worker(database: Connection, migration: Migration) -> None:
    assert claim(database, migration, 1, "first") is not None
    assert claim(database, migration, 1, "second") is None


def test_a_worker_that_lost_its_lease_writes_nothing(database: Connection, migration: Migration) -> None:
    slow = claimed(database, migration, 1)
    database.execute("UPDATE reembed.chunks SET lease_until = now() - interval '1 second' WHERE number = 1")
    assert chunks.rescue(database, migration.id, max_strikes=3) == 1
    claimed(database, migration, 1)
    with pytest.raises(errors.LeaseLost):
        chunks.renew(database, slow, lease_seconds=30, waiting_for=None)
    with pytest.raises(errors.LeaseLost):
        chunks.finish(database, slow)
    chunks.give_back(database, slow)
    chunks.fail(database, slow, error="late", max_strikes=3, retry_seconds=1)
    assert database.execute("SELECT state, attempt FROM reembed.chunks WHERE number = 1").fetchall() == [
        ("running", 2)
    ]


def test_a_chunk_that_kills_its_worker_each_time_ends_as_failed(
    database: Connection, migration: Migration
) -> None:
    for _ in range(3):
        claimed(database, migration, 1)
        database.execute(
            "UPDATE reembed.chunks SET lease_until = now() - interval '1 second' WHERE number = 1"
        )
        chunks.rescue(database, migration.id, max_strikes=3)
    assert claim(database, migration, 1) is None
    counts = chunks.count(database, migration.id)
    assert (counts.failed, counts.given_up) == (1, 1)
    assert counts.error == "its worker (worker) died or hung"


def test_a_redelivered_message_may_claim_the_chunk_of_a_dead_worker(
    database: Connection, migration: Migration
) -> None:
    claimed(database, migration, 1)
    database.execute("UPDATE reembed.chunks SET lease_until = now() - interval '1 second' WHERE number = 1")
    assert claim(database, migration, 1, "another") is not None


def test_a_chunk_given_back_costs_no_attempt(database: Connection, migration: Migration) -> None:
    for _ in range(10):
        chunks.give_back(database, claimed(database, migration, 1))
    assert claim(database, migration, 1) is not None


def test_a_failed_chunk_is_tried_again_at_a_distance_that_doubles(
    database: Connection, migration: Migration
) -> None:
    distances = []
    for _ in range(2):
        chunks.fail(database, claimed(database, migration, 1), error="no", max_strikes=3, retry_seconds=300)
        row = database.execute(
            "SELECT extract(epoch FROM retry_at - clock_timestamp())::float8 FROM reembed.chunks WHERE number = 1"
        ).fetchone()
        assert row is not None
        distances.append(round(row[0], -1))
        assert chunks.rerun_failed(database, migration.id, everything=False) == 0
        database.execute("UPDATE reembed.chunks SET retry_at = now() WHERE number = 1")
        assert chunks.rerun_failed(database, migration.id, everything=False) == 1
    assert distances == [300, 600]


def test_nobody_claims_a_chunk_of_a_paused_migration(database: Connection, migration: Migration) -> None:
    held = claimed(database, migration, 1)
    ledger.change_state(database, migration, "paused", "by hand")
    assert claim(database, migration, 2) is None
    assert chunks.renew(database, held, lease_seconds=30, waiting_for=None) is False


def test_a_wave_is_taken_once(database: Connection, migration: Migration) -> None:
    assert [row["number"] for row in chunks.take_wave(database, migration.id, 2)] == [1, 2]
    assert [row["number"] for row in chunks.take_wave(database, migration.id, 2)] == [3]
    assert chunks.take_wave(database, migration.id, 2) == []


def test_a_message_that_is_lost_is_forgotten_after_a_while(
    database: Connection, migration: Migration
) -> None:
    chunks.take_wave(database, migration.id, 10)
    assert chunks.forget_messages(database, migration.id, older_than_seconds=60) == 0
    assert chunks.forget_messages(database, migration.id, older_than_seconds=0) == 3
    assert len(chunks.take_wave(database, migration.id, 10)) == 3


def test_the_ledger_is_installed_once(database: Connection, migration: Migration) -> None:
    with database.transaction():
        ledger.install(database)
    assert ledger.get(database, migration.id) == migration


def test_a_connection_error_names_the_server_and_not_the_password() -> None:
    with pytest.raises(errors.Usage) as error:
        connection.connect("postgresql://someone:verysecret@127.0.0.1:1/nothing", "test")
    assert str(error.value) == (
        "The database at 127.0.0.1:1/nothing cannot be reached: nobody listens there. Check DATABASE_URL."
    )


@pytest.mark.parametrize(
    ("account", "database_name", "reason"),
    [
        ("guarded:verysecret", "postgres", "the server refused the password of the role guarded"),
        ("guarded", "postgres", "the server wants a password, and the URL has none"),
        ("nobody", "postgres", "the server has no role nobody"),
        ("postgres", "no_such", "the server has no database no_such"),
    ],
)
def test_a_server_that_lets_nobody_in_says_why_once(
    guarded: str, account: str, database_name: str, reason: str
) -> None:
    with pytest.raises(connection.DatabaseUnreachable) as error:
        connection.connect(f"postgresql://{account}@/{database_name}?host={guarded}", "test")
    assert str(error.value) == (
        f"The database at {guarded}:5432/{database_name} cannot be reached: {reason}. Check DATABASE_URL."
    )


@pytest.fixture
def guarded(database: Connection) -> Iterator[str]:
    """A role of this name has a password; where the server listens."""
    ((file, socket),) = database.execute(
        "SELECT current_setting('hba_file'), current_setting('unix_socket_directories')"
    ).fetchall()
    rules = Path(file).read_text()
    database.execute("CREATE ROLE guarded LOGIN PASSWORD 'another'")
    Path(file).write_text(f"local all guarded scram-sha-256\n{rules}")
    began = database.execute("SELECT clock_timestamp(), pg_reload_conf()").fetchone()
    assert began is not None
    waiting.until(
        lambda: database.execute("SELECT pg_conf_load_time() > %s", began[:1]).fetchone() == (True,)
    )
    yield socket
    Path(file).write_text(rules)
    database.execute("SELECT pg_reload_conf()")
    database.execute("DROP ROLE guarded")


def test_who_waits_for_another_to_install_the_ledger_finds_it(
    database: Connection, settings: Settings
) -> None:
    with connection.connect(settings.database, "test") as other, futures.ThreadPoolExecutor(1) as thread:
        # The other has looked, and remembers that there was none
        assert not ledger.exists(other)

        def install() -> None:
            with other.transaction():
                ledger.install(other)

        with database.transaction():
            ledger.install(database)
            waits = thread.submit(install)
            with pytest.raises(TimeoutError):
                waits.result(timeout=0.5)
        waits.result(timeout=10)
