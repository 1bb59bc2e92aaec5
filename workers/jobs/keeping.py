"""Keeping a chunk while something takes its time: the heartbeat beside an upload, a download, an answer."""

import contextvars
import time
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

from reembed.database import chunks
from workers import drain
from workers.tools import Tools

Result = TypeVar("Result")

# How often it is looked whether it is done, or whether this worker has to leave
_LOOK_SECONDS = 0.2


class Leaving(Exception):
    """This worker was asked to leave, or nobody wants the chunk done."""


class Keeper:
    """Of one claimed chunk; used by one thread."""

    def __init__(self, tools: Tools, claim: chunks.Claim) -> None:
        self._tools = tools
        self._claim = claim
        self._renew_at = 0.0

    def keep(self) -> None:
        """Renew the lease when it is time to. Raises Leaving, errors.LeaseLost."""
        if drain.requested():
            raise Leaving
        now = time.monotonic()
        if now < self._renew_at:
            return
        lease = self._tools.settings.chunk_lease_seconds
        self._renew_at = now + lease / 3
        wanted = self._tools.database.call(
            lambda connection: chunks.renew(connection, self._claim, lease_seconds=lease, waiting_for=None)
        )
        if not wanted:
            raise Leaving

    def aside(self, function: Callable[[], Result]) -> Result:
        """What the function returns or raises, run in a thread; raises as `keep`, and does not wait for it then."""
        doing = self._tools.executor.submit(contextvars.copy_context().run, function)
        while not doing.done():
            self.keep()
            futures.wait([doing], _LOOK_SECONDS)
        return doing.result()
