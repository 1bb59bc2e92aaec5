"""How each kind of fault is brought about.

Each returns how many documents may be embedded twice because of it: those that were in flight, at most.
"""

import contextlib
import signal
from collections.abc import Callable

import psycopg
import redis

from tests.chaos import provider_faults
from tests.chaos.scene import Scene, kill_children, send, start_again
from tests.chaos.schedule import Event

Fault = Callable[[Scene, Event], int]


def bring_about(scene: Scene, event: Event) -> int:
    fault = FAULTS.get(event.kind)
    if fault is not None:
        return fault(scene, event)
    return provider_faults.bring_about(scene, event)


def _worker_killed(scene: Scene, event: Event) -> int:
    scene.kill(event.chance.choice(scene.workforce.workers), event.chance.uniform(0.5, 3))
    return scene.in_flight


def _child_killed(scene: Scene, event: Event) -> int:
    kill_children(event.chance.choice(scene.workforce.workers))
    return scene.in_flight


def _frozen_and_killed(scene: Scene, event: Event) -> int:
    worker = event.chance.choice(scene.workforce.workers)
    send(worker, signal.SIGSTOP)
    scene.after(event.chance.uniform(0.5, 3), lambda: scene.kill(worker, 0.5))
    return scene.in_flight


def _frozen_and_thawed(scene: Scene, event: Event) -> int:
    """It wakes up when its chunk is another's: whatever it writes then has to be refused."""
    worker = event.chance.choice(scene.workforce.workers)
    send(worker, signal.SIGSTOP)
    scene.after(scene.lease_seconds + 3, lambda: send(worker, signal.SIGCONT))
    return scene.in_flight


def _worker_stopped(scene: Scene, event: Event) -> int:
    """It leaves in good order, unless an answer takes longer than it may wait."""
    worker = event.chance.choice(scene.workforce.workers)
    worker.ask_to_end()
    scene.after(12, lambda: start_again(worker))
    return scene.in_flight


def _control_killed(scene: Scene, event: Event) -> int:
    scene.kill(scene.control, event.chance.uniform(0.5, 3))
    return 0


def _beat_killed(scene: Scene, event: Event) -> int:
    scene.kill(scene.beat, event.chance.uniform(0.5, 3))
    return 0


def _two_beats(scene: Scene, event: Event) -> int:
    second = scene.workforce.start_beat(wait=False)
    scene.after(8, second.kill)
    return 0


def _redis_killed(scene: Scene, event: Event) -> int:
    """Celery ends the tasks of a worker whose connection is cut."""
    scene.installation.stack.redis.kill()
    scene.after(event.chance.uniform(0.5, 3), scene.installation.stack.redis.restart)
    return scene.everybody


def _redis_flushed(scene: Scene, event: Event) -> int:
    _tell_redis(scene, "FLUSHALL")
    return 0


def _redis_cut(scene: Scene, event: Event) -> int:
    _tell_redis(scene, "CLIENT", "KILL", "TYPE", "normal")
    return scene.everybody


def _tell_redis(scene: Scene, *words: str) -> None:
    url = scene.installation.environment["CELERY_BROKER_URL"]
    with redis.Redis.from_url(url) as client, contextlib.suppress(redis.ConnectionError):
        client.execute_command(*words)


def _postgres_restarted(scene: Scene, event: Event) -> int:
    scene.installation.stack.postgres.restart()
    return scene.everybody


def _postgres_crashed(scene: Scene, event: Event) -> int:
    scene.installation.stack.postgres.crash()
    return scene.everybody


def _sessions_terminated(scene: Scene, event: Event) -> int:
    with psycopg.connect(scene.installation.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'reembed%' OR application_name = 'application'"
        )
    return scene.everybody


FAULTS: dict[str, Fault] = {
    "worker killed": _worker_killed,
    "worker's child killed": _child_killed,
    "worker frozen, then killed": _frozen_and_killed,
    "worker frozen beyond its lease, then thawed": _frozen_and_thawed,
    "worker stopped": _worker_stopped,
    "control worker killed": _control_killed,
    "beat killed": _beat_killed,
    "two beats": _two_beats,
    "redis killed": _redis_killed,
    "redis flushed": _redis_flushed,
    "redis connections cut": _redis_cut,
    "postgres restarted": _postgres_restarted,
    "postgres crashed": _postgres_crashed,
    "postgres sessions terminated": _sessions_terminated,
}
