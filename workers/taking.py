"""The chunks that one task works on: the one of its message, and those that it takes along.

The chunks of a small table are small, so that many workers can share it; the one of a message may be a single request,
and would leave all but one of EMBED_CONCURRENCY idle. While that chunk is under way, more may be claimed: by the same
claim, with a lease and an attempt number of its own. Their messages find them taken, and end at once.

Only a chunk that never struck is taken along: one that kills its worker must not do it in company.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from reembed.database import chunks, ledger, limits
from reembed.database.connection import Connection
from reembed.events import Event
from workers import batches
from workers.attempt import Attempt
from workers.duplicates import Duplicates
from workers.telling import Telling
from workers.tools import Tools

_log = logging.getLogger(__name__)

# Where no chunk was free, another look is taken after so many seconds
_LOOK_AGAIN_SECONDS = 1.0


@dataclass
class Held:
    """A chunk under way."""

    claim: chunks.Claim
    waiting: Iterator[batches.Batch]
    """Not sent yet."""
    duplicates: Duplicates = field(default_factory=Duplicates)
    at_end: bool = False
    unsettled: int = 0
    """Batches that were sent and are not committed."""


class Taking:
    """Of one task; used by one thread."""

    def __init__(
        self,
        tools: Tools,
        attempt: Attempt,
        telling: Telling,
        *,
        finishes: bool = True,
    ) -> None:
        """Unless it `finishes`, a chunk whose end was reached is not done, for something may be left in it."""
        self.own = attempt.claim
        self._finishes = finishes
        self._tools = tools
        self._migration, self._model = attempt.migration, attempt.model
        self._telling = telling
        self._look_at = 0.0
        # Documents whose batches were committed, and those of all chunks that were held
        self._done = self._documents = 0
        self.held: list[Held] = [self._hold(attempt.claim)]
        """Not done yet. Only the last of them may have batches to send."""

    @property
    def left(self) -> list[chunks.Claim]:
        """Not done, to be given back."""
        return [held.claim for held in self.held]

    def came(self, documents: int) -> None:
        """So many have their vector already, by other means than a batch."""
        self._done += documents

    def close(self) -> str:
        """How far it got."""
        self._telling.at_last(self._done, self._documents)
        return f"{self._done:,} of {self._documents:,} documents"

    def is_far_enough(self) -> bool:
        """Whether so much is embedded as --until asked for, and nobody is to send more."""
        if self._migration.until_percent is None:
            return False
        return self._tools.database.call(
            lambda connection: limits.far_enough(connection, self.own.migration_id)
        )

    def next(self) -> tuple[Held, batches.Batch] | None:
        """One batch to send; None: all were sent."""
        if not self.held or self.held[-1].at_end:
            return None
        newest = self.held[-1]
        batch = next(newest.waiting, None)
        if batch is None:
            newest.at_end = True
            self._finish(newest)
            return None
        newest.unsettled += 1
        return newest, batch

    def committed(self, held: Held, documents: int) -> None:
        """One of its batches, of so many documents."""
        held.unsettled -= 1
        self._done += documents
        self._telling(self._done, self._documents)
        self._finish(held)

    @property
    def may_take_along(self) -> bool:
        return (
            bool(self.held)
            # By jobs of their own the others cost less
            and self._tools.settings.provider_mode == "direct"
            and self._finishes
            and self.held[0].claim == self.own
            and self.held[-1].at_end
            and time.monotonic() >= self._look_at
        )

    def take_along(self) -> bool:
        """Claim another chunk; False where none is free."""
        environment = self._tools.settings
        claim = self._tools.database.call(
            lambda connection: chunks.claim_next(
                connection, self.own.migration_id, self.own.side,
                owner=self._tools.owner, lease_seconds=environment.chunk_lease_seconds,
            )
        )  # fmt: skip
        if claim is None:
            self._look_at = time.monotonic() + _LOOK_AGAIN_SECONDS
            return False
        self.held.append(self._hold(claim))
        return True

    def renew(self, waiting_for: str | None) -> bool:
        """The heartbeat; False once nobody wants the chunks done. Raises errors.LeaseLost."""
        lease = self._tools.settings.chunk_lease_seconds

        def renew(connection: Connection) -> bool:
            wanted = [
                chunks.renew(connection, held.claim, lease_seconds=lease, waiting_for=waiting_for)
                for held in self.held
            ]
            return all(wanted)

        return self._tools.database.call(renew)

    def _hold(self, claim: chunks.Claim) -> Held:
        self._documents += claim.documents
        duplicates = Duplicates()
        waiting = batches.of_chunk(
            self._tools.database, self._migration, claim, self._model, self._tools.settings,
            ruler=self._tools.ruler(self._model), quota=self._tools.quota(claim.side), duplicates=duplicates,
        )  # fmt: skip
        return Held(claim, waiting, duplicates)

    def _finish(self, held: Held) -> None:
        """Where nothing of the chunk is left: nobody holds it any more."""
        if not held.at_end or held.unsettled:
            return

        if self._finishes:
            self._finish_in_the_ledger(held)
        self.held.remove(held)

    def _finish_in_the_ledger(self, held: Held) -> None:
        """It is done, and whatever kept the migration waiting does not any more."""

        def finish(connection: Connection) -> None:
            chunks.finish(connection, held.claim)
            ledger.set_reason(connection, held.claim.migration_id, None)

        self._tools.database.call(finish)
        _log.info(Event("chunk_done", migration=held.claim.migration_id, chunk=held.claim.number))
