"""Publish chunks as chords. The one place that builds a Celery canvas.

A wave is one chord: a header task for each chunk, and a callback that carries the migration's id alone. The callback is
only a doorbell: it may come never, early or twice, and `advance` does the right thing in each case.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import kombu
import kombu.exceptions
import redis
from celery import Signature, chord

from config import celery_app
from config.settings import Settings
from reembed import errors
from reembed.database import chunks, ledger, overview
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

# Header tasks of one chord: its cost to the broker stays the same for a hundred documents and for a billion
WAVE = 2_000
# Messages on their way at most. The schedule tops this up, so that workers do not idle between two waves
OUTSTANDING = 2 * WAVE
# A published chunk that nobody claimed while the queue is empty has lost its message
LOST_AFTER_SECONDS = 15
# The same while other messages wait, and fewer than should: nobody knows whose are missing. Each time costs a message
# too many for every chunk that waits so long, so it is not done for what may still be on its way
OVERDUE_AFTER_SECONDS = 600


class BrokerUnreachable(errors.Usage):
    """The broker at {where} cannot be reached: {reason}.

    Check CELERY_BROKER_URL.
    """


class BackendUnreachable(errors.Usage):
    """The result backend at {where} cannot be reached: {reason}.

    Check CELERY_RESULT_BACKEND; unset, it is the broker.
    """


def check_broker() -> None:
    """Raises BrokerUnreachable, BackendUnreachable within a few seconds."""
    with celery_app.app.connection_for_write() as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=1, timeout=5)
        except (OSError, kombu.exceptions.KombuError, ValueError) as error:
            where = f"{broker.transport_cls}://{broker.hostname}:{broker.port or ''}/{broker.virtual_host}"
            raise BrokerUnreachable(where=where, reason=_first_line(error)) from None
    _check_backend()


def _check_backend() -> None:
    """Chords are counted there."""
    with backend(Settings.load().result_backend) as client:
        try:
            client.ping()
        except (OSError, redis.RedisError) as error:
            where = "{host}:{port}/{db}".format(**{"host": "?", "port": "?", "db": 0} | _place(client))
            raise BackendUnreachable(where=where, reason=_first_line(error)) from None


def backend(url: str) -> redis.Redis:
    """Gives up within seconds: a person waits."""
    return redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5)


def _place(client: redis.Redis) -> dict[str, Any]:
    """Without the password."""
    known = client.connection_pool.connection_kwargs
    return {name: known[name] for name in ("host", "port", "db") if name in known}


def publish(connection: Connection, migration_id: int) -> int:
    """Publish the next wave, as far as there is room; how many chunks that were.

    Marked in the ledger first: a publisher that dies here loses messages, which the schedule notices, and no chunk.
    """
    room = OUTSTANDING - chunks.count(connection, migration_id).published
    if room <= 0:
        return 0
    wave = chunks.take_wave(connection, migration_id, min(WAVE, room))
    if wave:
        _chord(ledger.get(connection, migration_id), wave)
    return len(wave)


def publish_lost(connection: Connection, migration_id: int) -> None:
    """Messages that are gone (Redis was lost, a worker was killed at the wrong moment) may be published again.

    Where another table's backlog keeps the queue from being empty, it has fewer messages than chunks are published.
    Then what is overdue is forgotten of all migrations at once: of one alone, its doubles would make up for what the
    others have lost. A double finds its chunk taken; and there is an end to them, for with them the queue is long
    enough.
    """
    waiting = queue_length()
    if waiting == 0:
        chunks.forget_messages(connection, migration_id, older_than_seconds=LOST_AFTER_SECONDS)
        return
    active = overview.active(connection)
    if waiting < sum(chunks.count(connection, one).published for one in active):
        for one in active:
            chunks.forget_messages(connection, one, older_than_seconds=OVERDUE_AFTER_SECONDS)


def queue_length() -> int:
    """Messages waiting for a worker, of all migrations.

    Not by a passive declaration: with a key prefix, kombu's Redis transport says of every queue that there is none. The
    queue is the application's own, for RabbitMQ refuses a declaration that differs from the first.
    """
    with celery_app.app.connection_for_read() as broker, broker.channel() as channel:
        queue = celery_app.app.amqp.queues[celery_app.EMBED_QUEUE].bind(channel)
        return int(queue.queue_declare().message_count)  # type: ignore[union-attr]  # the stubs have the wrong type


def _chord(migration: Migration, wave: list[dict[str, Any]]) -> None:
    run = uuid.uuid4().hex[:8]
    header = [
        _task(
            "reembed.embed_chunk",
            migration.id,
            chunk["number"],
            # An id is never used twice: Celery would take the second run for done
            task_id=f"migration-{migration.id}-chunk-{chunk['number']}-{run}",
            # What Flower shows
            argsrepr=label(migration, chunk),
            kwargsrepr="",
        )
        for chunk in wave
    ]
    body, errback = (
        _task("reembed.advance", migration.id, argsrepr=f"migration {migration.id}", kwargsrepr="")
        for _ in range(2)
    )
    body.on_error(errback)
    chord(header, body, app=celery_app.app).apply_async()


def label(migration: Migration, chunk: Mapping[str, Any]) -> str:
    """A chunk as Flower shows it. A key that is a number says nothing; any other may be a name or an address."""
    named = f"migration {migration.id} chunk {chunk['number']}"
    if migration.table.key_type == "bigint":
        return f"{named}: ids {chunk['first_id']}-{chunk['last_id']}"
    return named


def _task(name: str, *integers: int, **options: str) -> Signature[None]:
    """A message to a task by its name. Immutable: what other tasks returned is not for it."""
    return celery_app.app.signature(name, args=integers, immutable=True, options=options)


def _first_line(error: BaseException) -> str:
    return (str(error) or repr(error)).splitlines()[0]
