"""What one worker process holds on to between tasks: connections, the providers, the threads that wait for them."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor

from config.settings import Settings
from reembed import settings
from reembed.database import ledger
from reembed.embedding.provider import Provider
from workers.budget import Account
from workers.database import Database
from workers.governor import Governor
from workers.quota import Quota
from workers.ruler import Ruler
from workers.tally import Tally
from workers.writer import Writer


class Tools:
    """Made in the process that uses it: neither a connection nor a thread survives a fork."""

    def __init__(self, environment: Settings) -> None:
        self.settings = environment
        # Shown beside a chunk, and in the reason if it has to be rescued
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self.database = self._connection()
        self.writer = Writer(self._connection(), lease_seconds=environment.chunk_lease_seconds)
        # Connects where there is a budget
        self.account = Account(self._connection(), environment.provider_timeout_seconds)
        self.executor = ThreadPoolExecutor(environment.embed_concurrency, thread_name_prefix="provider")
        self._quotas = {"new": Quota.of(environment), "old": Quota.of_the_old_model(environment)}
        self.governor = Governor.of(environment)
        self.tally = Tally()
        self._providers: dict[tuple[settings.Model, ledger.Side], Provider] = {}
        self._rulers: dict[str, Ruler] = {}

    def _connection(self) -> Database:
        # Twice the lease: a chunk that nobody took meanwhile is still ours
        patience = 2 * self.settings.chunk_lease_seconds
        return Database(self.settings.database, patience, pooled=self.settings.pooled)

    def provider(self, model: settings.Model, side: ledger.Side) -> Provider:
        """A model, at the endpoint that the environment has for this side; connections stay open between tasks."""
        if (model, side) not in self._providers:
            self._providers[model, side] = Provider(
                self.settings.new_endpoint if side == "new" else self.settings.old_endpoint,
                model,
                timeout_seconds=self.settings.provider_timeout_seconds,
                connections=self.settings.embed_concurrency,
            )
        return self._providers[model, side]

    def quota(self, side: ledger.Side) -> Quota:
        """The limits that are set are the new model's. The old one's pauses hold up nobody else."""
        return self._quotas[side]

    def ruler(self, model: settings.Model) -> Ruler:
        """What is learned from bills is of use to the next chunk."""
        return self._rulers.setdefault(model.name, Ruler.of(model.name))

    def close(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)
        for provider in self._providers.values():
            provider.close()
        for quota in self._quotas.values():
            quota.close()
        self.account.close()
        self.writer.close()
        self.database.close()


_tools: tuple[int, Tools] | None = None


def of_this_process() -> Tools:
    """Made at the first task, and once more in a process that was forked from one that had them."""
    global _tools
    if _tools is None or _tools[0] != os.getpid():
        _tools = (os.getpid(), Tools(Settings.load()))
    return _tools[1]
