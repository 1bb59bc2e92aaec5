"""The Celery application: `celery -A config.celery_app worker ...`.

Every setting has its reason beside it. The principle: the ledger in Postgres is the truth, the broker a doorbell, so
messages are small, may be lost or doubled, and no result is kept.
"""

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from celery import Celery, signals
from kombu import Exchange, Queue

from config import logs, schedule
from config.settings import Settings
from reembed import errors

EMBED_QUEUE = "reembed.embed"
# Callbacks and the schedule have a queue of their own, so that none waits behind the backlog
CONTROL_QUEUE = "reembed.control"

# Seconds after which an unacknowledged message is delivered again. Longer than any task runs: a chunk is worked on for
# WORK_SECONDS at a time. A chunk whose worker died does not wait for it; the schedule publishes it anew
_VISIBILITY_TIMEOUT = 3600
# No other application's messages, however many share this Redis
_KEY_PREFIX = "reembed:"

_Answer = TypeVar("_Answer")


def configuration(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": settings.broker,
        "result_backend": settings.result_backend,
        "include": ["workers.tasks", "orchestrator.tasks", "config.clock"],
        # JSON alone: nobody who can write to the broker can make a worker run code
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        # Queues are these two; a typing error in a route fails instead of making a third
        "task_queues": tuple(
            Queue(name, exchange=Exchange(name), routing_key=name, queue_arguments=_queue_arguments(settings))
            for name in (EMBED_QUEUE, CONTROL_QUEUE)
        ),
        # Beside quorum queues Celery declares some thirty more for delayed messages. We send none: cheap ones do
        "broker_native_delayed_delivery_queue_type": "classic",
        "task_default_queue": CONTROL_QUEUE,
        "task_create_missing_queues": False,
        "task_routes": {"reembed.embed_chunk": {"queue": EMBED_QUEUE}},
        # A message is acknowledged when its task is over, and a worker holds no other meanwhile
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        # A child that was killed: again at once. The ledger counts the attempts, so there is an end to it
        "task_reject_on_worker_lost": True,
        # A task whose connection was cut is delivered again. Celery ends the first run by SIGTERM, which our children
        # ignore (workers/drain.py): it goes on, and its lease on the chunk is what keeps the second from paying twice.
        # Set all the same: Celery warns at each cut without it
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        # Results are ignored: a success that was stored but not counted would leave a chord hanging
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "result_expires": 86_400,
        # A chord may idle for weeks, while its migration is paused
        "result_chord_expires": 30 * 86_400,
        # Celery's own limiter is per worker; the quota is for all of them
        "worker_disable_rate_limits": True,
        # What Flower needs
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        # Pods may start before their Redis, and outlive it
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_acquire_timeout": 30,
        "task_publish_retry_policy": {
            "max_retries": 10,
            "interval_start": 0,
            "interval_step": 0.5,
            "interval_max": 5,
        },
        "broker_transport_options": _transport_options(settings),
        "result_backend_transport_options": {
            "visibility_timeout": _VISIBILITY_TIMEOUT,
            "global_keyprefix": _KEY_PREFIX,
            # Nobody reads the parts' results: no need to keep them in order
            "result_chord_ordered": False,
        },
        "redis_socket_timeout": 30,
        "redis_socket_connect_timeout": 5,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 25,
        # A guard against leaks in whatever we call
        "worker_max_tasks_per_child": 500,
        "worker_hijack_root_logger": True,
        "timezone": "UTC",
        "enable_utc": True,
        # Beat answers `reembed doctor`, and `celery inspect ping`, while its schedule moves
        "beat_enable_remote_control": True,
        "beat_schedule": schedule.entries(
            settings.catch_up_every_seconds, settings.chunk_lease_seconds, CONTROL_QUEUE
        ),
    }


def _queue_arguments(settings: Settings) -> dict[str, str]:
    """RabbitMQ keeps a quorum queue on several nodes, and has no other kind that outlives one."""
    return {"x-queue-type": "quorum"} if settings.broker_is_rabbitmq else {}


def _transport_options(settings: Settings) -> dict[str, Any]:
    if settings.broker_is_rabbitmq:
        # A message counts as published when RabbitMQ has it
        return {"confirm_publish": True}
    return {
        "visibility_timeout": _VISIBILITY_TIMEOUT,
        "global_keyprefix": _KEY_PREFIX,
        # kombu's own: 10 s and 10 make a sweep each 100 s
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 3,
        # Half-open connections are noticed
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }


def _or_exit(ask: Callable[[], _Answer]) -> _Answer:
    """A worker, beat or Flower that is started with a wrong environment says so in one line."""
    try:
        return ask()
    except errors.Usage as error:
        sys.stderr.write(f"reembed: {error}\n")
        raise SystemExit(error.exit_code) from None


def _settings_or_exit() -> Settings:
    return _or_exit(Settings.load)


def _loaded_by_flower() -> bool:
    """Celery's command loads the application before it runs the part of it that was asked for."""
    command = click.get_current_context(silent=True)
    return command is not None and command.invoked_subcommand == "flower"


def _guard_flower() -> None:
    # Here, so that no other process loads Flower's modules
    from config import flower_access

    flower_access.close_metrics()
    # Sent by Flower when it has read its options and does not listen yet
    signals.import_modules.connect(lambda **_: _or_exit(flower_access.check_options), weak=False)
    # Tornado has made its handler by then, and none of the signals below is sent
    signals.import_modules.connect(lambda **_: _format_logs(logging.getLogger()), weak=False)


app = Celery("reembed", loader="config.result_backend:Loader")
app.add_defaults(lambda: configuration(_settings_or_exit()))


if _loaded_by_flower():
    _guard_flower()


@signals.celeryd_init.connect
def _begin_logs(**_: Any) -> None:
    """A worker is about to say what it thinks of its environment."""
    logs.begin_early(_settings_or_exit().log_format)


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def _format_logs(logger: logging.Logger, **_: Any) -> None:
    logs.put_in_order(logger, _settings_or_exit().log_format)


@functools.cache
def _heartbeat_file() -> Path | None:
    named = _settings_or_exit().heartbeat_file
    return Path(named) if named else None


@signals.heartbeat_sent.connect
def _tell_the_healthcheck(**_: Any) -> None:
    if file := _heartbeat_file():
        file.touch()
