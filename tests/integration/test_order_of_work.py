"""The most used documents first, where BACKFILL_ORDER_COLUMN says which those are."""

import base64
import json
from collections.abc import Callable

import pytest
import redis

from config import celery_app
from config.settings import Settings
from orchestrator import checks, start
from reembed import errors
from reembed.database import chunks, fitness, ledger, storage
from reembed.database.connection import Connection

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def ordered(database: Connection, settings: Settings, documents_table: object) -> Settings:
    """Keys 7 to 28, 35 to 56, 63 to 84 in a chunk each: the last is used most, then the first, the second never."""
    database.execute("ALTER TABLE documents ADD views double precision")
    # What cannot be added up is no use
    database.execute(
        "UPDATE documents SET views = CASE WHEN id = 42 THEN float8 'NaN' WHEN id = 7 THEN 3 END"
    )
    database.execute("UPDATE documents SET views = id WHERE id > 63")
    return settings.model_copy(update={"chunk_size": 4, "backfill_order_column": "views"})


def priorities(database: Connection) -> list[tuple[int, float]]:
    return database.execute("SELECT number, priority FROM reembed.chunks ORDER BY number").fetchall()


def test_the_chunk_with_the_most_used_documents_is_published_first(
    database: Connection, ordered: Settings, broker: redis.Redis
) -> None:
    start.start(database, ordered)
    assert priorities(database) == [(1, 3.0), (2, 0.0), (3, 70 + 77 + 84)]
    # Workers take what lies at the right end
    messages = broker.lrange(f"reembed:{celery_app.EMBED_QUEUE}", 0, -1)
    assert isinstance(messages, list)
    bodies = [json.loads(base64.b64decode(json.loads(message)["body"])) for message in reversed(messages)]
    assert [arguments[1] for arguments, _, _ in bodies] == [3, 1, 2]


def test_waves_too_go_by_what_is_used_most(database: Connection, ordered: Settings) -> None:
    migration = start.create(database, ordered, checks.documents_table(database, ordered))
    storage.expand(database, migration)
    chunks.plan(database, migration, ordered.backfill_order_column)
    ledger.change_state(database, migration, "backfilling")
    waves = [chunks.take_wave(database, migration.id, limit) for limit in (1, 2)]
    assert [[chunk["number"] for chunk in wave] for wave in waves] == [[3], [1, 2]]


def test_without_a_column_chunks_go_in_the_order_of_keys(database: Connection, ordered: Settings) -> None:
    start.start(database, ordered.model_copy(update={"backfill_order_column": None}))
    assert priorities(database) == [(1, 0.0), (2, 0.0), (3, 0.0)]


@pytest.mark.parametrize(
    "kind", ["smallint", "integer", "bigint", "real", "double precision", "numeric(9, 2)"]
)
def test_any_number_will_do(database: Connection, ordered: Settings, kind: str) -> None:
    database.execute("UPDATE documents SET views = NULL WHERE views = 'NaN'")
    database.execute(f"ALTER TABLE documents ALTER views TYPE {kind}")
    start.start(database, ordered)
    assert priorities(database) == [(1, 3.0), (2, 0.0), (3, 231.0)]


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (
            "clicks",
            fitness.NoColumn,
            "The table public.documents has no column clicks; it has id, content, embedding, views. "
            "Set BACKFILL_ORDER_COLUMN.",
        ),
        (
            "content",
            fitness.WrongColumn,
            "The column content of public.documents is of type text, and reembed needs a number. "
            "Set BACKFILL_ORDER_COLUMN.",
        ),
    ],
)
@pytest.mark.parametrize("command", [start.plan, start.start])
def test_a_column_that_cannot_order_anything_is_refused_before_anything_is_written(
    database: Connection,
    ordered: Settings,
    column: str,
    error: type[errors.Usage],
    message: str,
    command: Callable[[Connection, Settings], object],
) -> None:
    with pytest.raises(error) as refused:
        command(database, ordered.model_copy(update={"backfill_order_column": column}))
    assert (str(refused.value), refused.value.exit_code) == (message, 2)
    assert not ledger.exists(database)
