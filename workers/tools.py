"""What one worker process holds on to between tasks: a connection, the providers, the threads that wait for them."""

import contextlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor

from config.settings import Settings
from reembed import settings
from reembed.database import connection
from reembed.embedding.provider import Provider
from workers.quota import Quota


class Tools:
    """Made in the process that uses it: neither a connection nor a thread survives a fork."""

    def __init__(self, environment: Settings) -> None:
        self.settings = environment
        # Shown beside a chunk, and in the reason if it has to be rescued
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self.executor = ThreadPoolExecutor(environment.embed_concurrency, thread_name_prefix="provider")
        self.quota = Quota.of(environment)
        self._connection: connection.Connection | None = None
        self._providers: dict[settings.Model, Provider] = {}

    @property
    def connection(self) -> connection.Connection:
        """The database, connected anew where the last connection broke."""
        if self._connection is None or self._connection.closed:
            self._connection = connection.connect(self.settings.database, "worker")
        return self._connection

    def provider(self, model: settings.Model) -> Provider:
        """The new model, at the endpoint of the environment; connections stay open between tasks."""
        if model not in self._providers:
            self._providers[model] = Provider(
                self.settings.new_endpoint,
                model,
                timeout_seconds=self.settings.provider_timeout_seconds,
                connections=self.settings.embed_concurrency,
            )
        return self._providers[model]

    def close(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)
        for provider in self._providers.values():
            provider.close()
        self.quota.close()
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()


_tools: tuple[int, Tools] | None = None


def of_this_process() -> Tools:
    """Made at the first task, and once more in a process that was forked from one that had them."""
    global _tools
    if _tools is None or _tools[0] != os.getpid():
        _tools = (os.getpid(), Tools(Settings.load()))
    return _tools[1]
