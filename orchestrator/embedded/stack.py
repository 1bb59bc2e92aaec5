"""Postgres, Redis and the embedding server in one context: started side by side, ended whatever happens.

At the normal end, on an exception, Ctrl-C, SIGTERM and SIGHUP, and also when only some of them had started.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.embedded import postgres, provider, redis, signals


@dataclass(frozen=True)
class Stack:
    directory: Path
    """Logs, and the data of Redis."""
    postgres: postgres.Postgres
    redis: redis.Redis
    provider: provider.EmbeddingServer

    def environment(self, database: str) -> dict[str, str]:
        """The variables that point every part of reembed to this stack."""
        return {
            "DATABASE_URL": self.postgres.url(database),
            # Whatever stands before the database of whoever runs this
            "DATABASE_POOLER": "none",
            "DATABASE_DIRECT_URL": self.postgres.url(database),
            "CELERY_BROKER_URL": self.redis.url(0),
            "CELERY_RESULT_BACKEND": self.redis.url(1),
            "OPENAI_BASE_URL": self.provider.base_url,
            "OPENAI_API_KEY": self.provider.api_key,
        }


@contextmanager
def running(directory: Path | None = None) -> Iterator[Stack]:
    """A running stack, in about a second. Without a directory it uses a temporary one, deleted at the end.

    Raises binaries.NotInstalled, and process.ProcessFailed with the end of the log of what did not start.
    """
    with signals.leave_in_order(), ExitStack() as cleanup:
        if directory is None:
            directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="reembed-stack-")))
        stack = Stack(
            directory,
            redis=redis.Redis(directory),
            provider=provider.EmbeddingServer(directory),
            # Last, for it makes a directory: nothing after it can fail before the clean-up knows of it
            postgres=postgres.Postgres(directory),
        )
        # Before they start: what is half-started when we are interrupted is ended too
        services = (stack.redis, stack.provider, stack.postgres)
        for service in services:
            cleanup.callback(service.stop)
        # Postgres last: its launch works for most of a second, in which the others get ready
        for service in services:
            service.launch()
        for service in services:
            service.wait_until_ready()
        yield stack
