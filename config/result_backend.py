"""Celery's Redis backend for an application in which nobody waits for a result.

Celery subscribes to the result of every task that it publishes, two commands to Redis each and most of the time a chord
takes to publish, and complains at exit about the results that never came. Chords are counted without any of that.
"""

from celery.backends import redis
from celery.loaders.app import AppLoader


class _Deaf(redis.ResultConsumer):  # type: ignore[misc,name-defined]  # the stubs lack it
    def start(self, initial_task_id: str, **_: object) -> None:
        """No subscription."""

    def consume_from(self, task_id: str) -> None:
        """No subscription."""

    def cancel_for(self, task_id: str) -> None:
        """Nothing to unsubscribe from."""


class RedisBackend(redis.RedisBackend):
    ResultConsumer = _Deaf


class Loader(AppLoader):
    """Puts the backend above in the place of Celery's own, wherever a URL asks for Redis."""

    override_backends = dict.fromkeys(("redis", "rediss"), "config.result_backend:RedisBackend")
