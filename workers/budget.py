"""The budget: no request is sent that there is no money for, by all workers together.

What a request may cost is reserved in the ledger before it is sent, and corrected by its bill. It is the ledger and not
Redis that remembers, because money that was spent stays spent, whatever is lost.

The most that a text can cost is one token for each of its bytes: two to five times the truth. So a request that finds
no room may find some once those in flight have been billed, and waits for them. It does not wait for ever: a worker
that died gives nothing back.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import psycopg

from reembed import errors
from reembed.database import limits
from reembed.database.connection import Connection
from reembed.database.ledger import Migration, Side
from reembed.embedding import tokens
from reembed.events import Event
from workers.database import Database

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

WAITING = "the budget: what is in flight may use it up"
# How often a request looks for room
_LOOK_SECONDS = 0.5
# A text's beginning and end are tokens of their own to some models
_FRAME = 2


def most_tokens(text: str) -> int:
    """What a text can cost at the most, as it is sent."""
    return tokens.ceiling(text) + _FRAME


class Account:
    """The budgets of a worker process, on a connection of their own that its threads take turns with."""

    def __init__(self, database: Database, patience_seconds: float) -> None:
        """So long a request waits for those in flight."""
        self._database = database
        self.patience_seconds = patience_seconds
        self._turn = threading.Lock()

    def budget(
        self, migration: Migration, side: Side, stop: threading.Event, on_wait: Callable[[str, float], None]
    ) -> "Budget":
        """Of the new model alone. `stop` ends a wait at once; `on_wait(reason, seconds)` is told of it."""
        limited = side == "new" and migration.budget_usd is not None
        return Limited(self, migration, stop, on_wait) if limited else UNLIMITED

    def call(self, function: Callable[[Connection], Result]) -> Result:
        with self._turn:
            return self._database.call(function)

    def settle(self, migration_id: int, *, reserved: int, billed: int) -> None:
        """Best effort, and never twice: what is not corrected counts as spent."""
        with self._turn, contextlib.suppress(psycopg.Error, errors.ReembedError):
            # On a connection that is alive. Of a statement that broke off nobody knows whether it was run
            self._database.call(lambda connection: limits.room(connection, migration_id))
            self._database.once(
                lambda connection: limits.settle(connection, migration_id, reserved=reserved, billed=billed)
            )

    def close(self) -> None:
        self._database.close()


class Budget:
    """Of one migration: without a limit."""

    @contextlib.contextmanager
    def spending(self, texts: Sequence[str]) -> Iterator[Callable[[int], None]]:
        """For the time of one request; to be told the tokens that were billed, 0 where the provider does not say."""
        yield lambda billed: None


UNLIMITED = Budget()


class Limited(Budget):
    """The same with one. Threads may share it."""

    def __init__(
        self,
        account: Account,
        migration: Migration,
        stop: threading.Event,
        on_wait: Callable[[str, float], None],
    ) -> None:
        self._account = account
        self._migration_id = migration.id
        self._prefix = migration.new_model.document_prefix
        self._stop = stop
        self._on_wait = on_wait

    @contextlib.contextmanager
    def spending(self, texts: Sequence[str]) -> Iterator[Callable[[int], None]]:
        """Raises limits.BudgetReached or, by `stop`, errors.Transient before it begins: then nothing must be sent."""
        reserved = sum(most_tokens(self._prefix + text) for text in texts)
        self._reserve(reserved)
        # Whatever is not foreseen may have been billed
        billed = reserved

        def spent(told: int) -> None:
            nonlocal billed
            billed = told or reserved

        try:
            yield spent
        except errors.ReembedError as error:
            billed = reserved if error.may_be_billed else 0
            raise
        finally:
            self._account.settle(self._migration_id, reserved=reserved, billed=billed)

    def _reserve(self, wanted: int) -> None:
        gives_up_at = time.monotonic() + self._account.patience_seconds
        while room := self._account.call(
            lambda connection: limits.reserve(connection, self._migration_id, wanted)
        ):
            if not room.has_room(wanted) or time.monotonic() >= gives_up_at:
                self._pause(wanted, room.reached(wanted))
            self._on_wait(WAITING, _LOOK_SECONDS)
            if self._stop.wait(_LOOK_SECONDS):
                raise errors.Transient(reason=WAITING)

    def _pause(self, wanted: int, reached: limits.BudgetReached) -> None:
        self._account.call(
            lambda connection: limits.pause(connection, self._migration_id, wanted, str(reached))
        )
        _log.warning(Event("budget_reached", migration=self._migration_id, reason=reached))
        raise reached
