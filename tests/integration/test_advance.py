"""`advance` against the ways in which a chord goes wrong: its callback early, twice or never, its messages lost."""

import base64
import dataclasses
import json
import time

import pytest
import redis
from psycopg import sql

from config import celery_app
from config.settings import Settings
from orchestrator import advance, checks, dispatch, planning, resume, start
from orchestrator.embedded.stack import Stack
from reembed.database import chunks, connection, documents, failures, ledger, queries, storage
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps
from tests.integration.conftest import BOTH_STORAGES

pytestmark = pytest.mark.usefixtures("broker")


def state(database: Connection, migration: Migration) -> str:
    return ledger.get(database, migration.id).state


def another(database: Connection, settings: Settings) -> Migration:
    """A migration of another table of twelve documents, under way."""
    installation.make_table(database, sql.Identifier("others"), installation.texts(12))
    theirs = settings.model_copy(update={"documents_table": "others", "chunk_size": 5})
    made = start.create(database, theirs, checks.documents_table(database, theirs))
    storage.expand(database, made)
    chunks.plan(database, made)
    ledger.change_state(database, made, "backfilling")
    return ledger.get(database, made.id)


def test_a_callback_that_comes_early_publishes_what_was_not_and_changes_nothing_else(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    advance.advance(database, settings, migration.id)
    assert dispatch.queue_length() == 3
    advance.advance(database, settings, migration.id)
    assert (dispatch.queue_length(), state(database, migration)) == (3, "backfilling")


def test_a_callback_that_never_comes_is_not_missed(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    # The schedule calls the same function
    advance.advance(database, settings, migration.id)
    assert state(database, migration) == "ready"


def test_a_callback_that_comes_twice_judges_once(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    for _ in range(2):
        advance.advance(database, settings, migration.id)
    assert database.execute("SELECT count(*) FROM reembed.validations").fetchall() == [(1,)]


def test_while_one_process_advances_a_migration_another_leaves_at_once(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    with connection.connect(settings.database, "test") as other:
        queries.run(other, "try_lock_migration", None, migration_id=migration.id)
        advance.advance(database, settings, migration.id)
        assert state(database, migration) == "backfilling"
    # The end of the other session, however it ends, frees the lock as soon as the server has noticed
    deadline = time.monotonic() + 60
    while state(database, migration) == "backfilling":
        assert time.monotonic() < deadline
        advance.advance(database, settings, migration.id)
    assert state(database, migration) == "ready"


def test_messages_that_were_lost_are_published_again_and_messages_that_wait_are_not_doubled(
    database: Connection, settings: Settings, migration: Migration, broker: redis.Redis
) -> None:
    advance.advance(database, settings, migration.id)
    database.execute("UPDATE reembed.chunks SET dispatched_at = dispatched_at - interval '1 minute'")
    advance.advance(database, settings, migration.id)
    assert dispatch.queue_length() == 3
    broker.flushdb()
    advance.advance(database, settings, migration.id)
    assert dispatch.queue_length() == 3


def test_lost_messages_do_not_wait_for_the_backlog_of_another_table(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    # Given a table whose messages wait in the queue, and another whose are lost
    dispatch.publish(database, migration.id)
    other = another(database, settings)
    assert len(chunks.take_wave(database, other.id, 10)) == 3

    def advance_both(later: str) -> int:
        database.execute("UPDATE reembed.chunks SET dispatched_at = dispatched_at - %s::interval", [later])
        for one in (migration, other):
            advance.advance(database, settings, one.id)
        return dispatch.queue_length()

    # Then they are published again, the other's too, for nobody knows whose are missing
    assert advance_both("1 minute") == 3
    assert advance_both("10 minutes") == 3 + 3 + 3
    # And that is enough
    assert advance_both("10 minutes") == 9


def test_a_plan_of_many_chunks_is_published_in_waves_as_far_as_there_is_room(
    database: Connection, settings: Settings, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "WAVE", 1)
    monkeypatch.setattr(dispatch, "OUTSTANDING", 2)
    for published in (1, 2, 2):
        advance.advance(database, settings, migration.id)
        assert dispatch.queue_length() == published
    steps.embed(settings, migration, 1)
    advance.advance(database, settings, migration.id)
    assert chunks.count(database, migration.id).published == 2


def test_documents_written_during_the_backfill_are_caught_up_with_before_the_judgement(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    database.execute("INSERT INTO documents (id, content) VALUES (1000, 'written meanwhile')")
    advance.advance(database, settings, migration.id)
    assert state(database, migration) == "backfilling"
    steps.embed(settings, migration, 4)
    advance.advance(database, settings, migration.id)
    assert state(database, migration) == "ready"


@BOTH_STORAGES
def test_an_application_that_never_stops_writing_does_not_keep_a_migration_from_being_ready(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    # The judgement lets a hundredth of the documents be pending
    database.execute(
        "INSERT INTO documents (id, content) SELECT n, 'one of many: ' || n FROM generate_series(1000, 1099) n"
    )
    states = []
    for text in map(str, range(12)):
        # Whenever anybody looks there is a text that was just written
        database.execute("UPDATE documents SET content = %s WHERE id = 7", [f"written, {text}"])
        advance.advance(database, settings, migration.id)
        states.append(state(database, migration))
        if states[-1] == "ready":
            break
        unfinished = database.execute("SELECT number FROM reembed.chunks WHERE state = 'pending'").fetchall()
        steps.embed(settings, migration, *(number for (number,) in unfinished))
    # Three rounds before the index is built, and three before the judgement
    assert states == [*["backfilling"] * 3, *["validating"] * 3, "ready"]
    assert documents.count_pending(database, ledger.get(database, migration.id)) == 1


def test_retry_takes_up_at_once_what_was_put_off_beside_a_finished_backfill(
    database: Connection, settings: Settings, migration: Migration, stack: Stack
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    advance.advance(database, settings, migration.id)
    database.execute("INSERT INTO documents (id, content) VALUES (1000, 'written since')")
    advance.advance(database, settings, migration.id)
    stack.provider.fail(401)
    for _ in range(2):
        # Put off, and not due for five minutes
        steps.embed(settings, migration, 4)
        assert documents.count_pending(database, migration) == 1
    resume.retry(database, ledger.get(database, migration.id))
    steps.embed(settings, migration, 4)
    assert documents.count_pending(database, migration) == 0


def ranges(database: Connection) -> list[tuple[str, str]]:
    """Of the chunks for catching up, in the order of their planning."""
    return database.execute(
        "SELECT first_id, last_id FROM reembed.chunks WHERE catch_up ORDER BY number"
    ).fetchall()


@BOTH_STORAGES
@pytest.mark.parametrize("side", ["new", "old"])
def test_a_failed_chunk_keeps_waiting_nothing_but_what_it_holds(
    database: Connection, settings: Settings, migration: Migration, side: ledger.Side
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    advance.advance(database, settings, migration.id)
    if side == "old":
        settings = settings.model_copy(update={"old_embed_model": installation.OLD_MODEL})
        steps.walk(database, migration, "switched")
        database.execute("DELETE FROM reembed.chunks WHERE catch_up")
    # Given a chunk that failed and is not due for five minutes
    database.execute("UPDATE documents SET content = 'written' WHERE id IN (7, 21)")
    advance.advance(database, settings, migration.id)
    for (number,) in database.execute("SELECT number FROM reembed.chunks WHERE catch_up").fetchall():
        claim = chunks.claim(database, migration.id, number, owner="test", lease_seconds=30, max_strikes=5)
        assert claim is not None
        chunks.fail(database, claim, error="it cannot be done", max_strikes=5, retry_seconds=300)
    before = ranges(database)
    assert set(before) == {("7", "21")}
    # When others are written: one within its range, two outside
    database.execute("UPDATE documents SET content = 'written since' WHERE id IN (14, 70, 77)")
    advance.advance(database, settings, migration.id)
    # Then those outside have a chunk at the next tick, and one only, however often the schedule looks
    planned = ranges(database)[len(before) :]
    assert planned == [("70", "77")] * len(before)
    for _ in range(3):
        advance.advance(database, settings, migration.id)
    assert ranges(database) == before + planned
    # And one whose range goes around another's
    database.execute("UPDATE documents SET content = 'at both ends' WHERE id IN (28, 84)")
    advance.advance(database, settings, migration.id)
    advance.advance(database, settings, migration.id)
    assert ranges(database) == before + planned + [("28", "84")] * len(before)


def test_beside_many_unfinished_chunks_none_is_added(
    database: Connection, settings: Settings, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advance, "_BESIDE", 1)
    steps.embed(settings, migration, 1, 2, 3)
    advance.advance(database, settings, migration.id)
    for key in (7, 14, 21):
        database.execute("UPDATE documents SET content = 'written' WHERE id = %s", [key])
        advance.advance(database, settings, migration.id)
    assert ranges(database) == [("7", "7"), ("14", "14")]
    # As soon as they are fewer, it has its chunk
    steps.embed(settings, migration, 4)
    advance.advance(database, settings, migration.id)
    assert ranges(database) == [("7", "7"), ("14", "14"), ("21", "21")]


def test_chunks_that_used_up_their_attempts_fail_the_migration_with_the_reason(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, 2)
    claim = chunks.claim(database, migration.id, 3, owner="test", lease_seconds=30, max_strikes=1)
    assert claim is not None
    chunks.fail(database, claim, error="it cannot be done", max_strikes=1, retry_seconds=1)
    advance.advance(database, settings, migration.id)
    failed = ledger.get(database, migration.id)
    assert (failed.state, failed.reason) == ("failed", "1 chunks failed 5 times: it cannot be done")


def test_a_document_whose_row_the_database_refuses_is_recorded_and_its_neighbours_are_written(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    database.execute("ALTER TABLE documents ADD CONSTRAINT never_21 CHECK (id <> 21 OR embedding_v2 IS NULL)")
    steps.embed(settings, migration, 1)
    assert [(one.document_id, one.reason) for one in failures.find(database, migration)] == [
        ("21", "The database refuses its vector (CheckViolation: never_21).")
    ]
    assert chunks.count(database, migration.id).done == 1
    assert documents.census(database, migration).embedded == 4


def test_a_message_shows_its_migration_its_chunk_and_ids_that_are_numbers(
    database: Connection, settings: Settings, migration: Migration, broker: redis.Redis
) -> None:
    dispatch.publish(database, migration.id)
    messages = [json.loads(message) for message in broker.lrange("reembed:reembed.embed", 0, -1)]
    shown = {message["headers"]["argsrepr"] for message in messages}
    ranges = ("7-35", "42-70", "77-84")
    assert shown == {
        f"migration {migration.id} chunk {n}: ids {ids}" for n, ids in enumerate(ranges, start=1)
    }


def test_a_message_never_shows_a_key_that_is_a_text(migration: Migration) -> None:
    keyed_by_text = dataclasses.replace(
        migration, table=dataclasses.replace(migration.table, key_type="text")
    )
    chunk = {"number": 3, "first_id": "ada@example.org", "last_id": "bob@example.org"}
    assert dispatch.label(keyed_by_text, chunk) == f"migration {migration.id} chunk 3"


def test_messages_carry_integers_alone(
    database: Connection, settings: Settings, migration: Migration, broker: redis.Redis
) -> None:
    dispatch.publish(database, migration.id)
    messages = broker.lrange(f"reembed:{celery_app.EMBED_QUEUE}", 0, -1)
    assert isinstance(messages, list)
    bodies = [json.loads(base64.b64decode(json.loads(message)["body"])) for message in messages]
    assert sorted(arguments for arguments, _, _ in bodies) == [[migration.id, number] for number in (1, 2, 3)]
    for _, keywords, embedded in bodies:
        assert keywords == {}
        assert embedded["chord"]["args"] == [migration.id]
    for text in [*installation.texts(12), settings.openai_api_key.get_secret_value(), settings.database]:
        assert text not in str(bodies)


def test_a_message_takes_no_more_of_redis_than_a_plan_says(
    database: Connection, migration: Migration, broker: redis.Redis
) -> None:
    # Long keys: a message shows them to Flower
    database.execute(
        "INSERT INTO reembed.chunks (migration_id, side, number, first_id, last_id, documents) "
        "SELECT %s, 'new', n, repeat('k', 100), repeat('k', 100), 1 FROM generate_series(100, 1096) n",
        [migration.id],
    )

    def used() -> int:
        return int(broker.info("memory")["used_memory"])

    before = used()
    assert dispatch.publish(database, migration.id) == 1_000
    taken = (used() - before) / 1_000
    assert planning.MESSAGE_BYTES / 3 < taken < planning.MESSAGE_BYTES


@BOTH_STORAGES
@pytest.mark.parametrize(
    "how", ["DROP TRIGGER {} ON documents", "ALTER TABLE documents DISABLE TRIGGER {}", None]
)
def test_a_trigger_that_somebody_took_away_is_put_back_and_what_it_missed_is_embedded(
    database: Connection, settings: Settings, migration: Migration, how: str | None
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    advance.advance(database, settings, migration.id)
    # Given a text that nobody noticed
    if how is None:
        function = migration.names["trigger_function"]
        database.execute(sql.SQL("DROP FUNCTION {} CASCADE").format(function))
    else:
        database.execute(sql.SQL(how).format(migration.names["trigger"]))
    database.execute("UPDATE documents SET content = 'quite another text' WHERE id = 7")
    assert documents.count_pending(database, migration) == 0
    # When the schedule looks
    advance.advance(database, settings, migration.id)
    # Then that text is in a chunk, and the next one is noticed again
    assert chunks.count(database, migration.id).unfinished == 1
    assert documents.count_pending(database, migration) == 1
    database.execute("UPDATE documents SET content = 'and another one' WHERE id = 14")
    assert documents.count_pending(database, migration) == 2


@BOTH_STORAGES
def test_where_all_triggers_stand_none_is_touched(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    assert not storage.watch(database, migration)
