"""The ledger's jobs: what the provider's Batch API has been asked for, and what it has cost.

A job belongs to its chunk, and only the attempt that holds the chunk may touch it. It is written down before the
provider hears of it, with a key that goes along: whoever finds a job without a name asks the provider for the key.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from reembed.database import limits, queries
from reembed.database.chunks import Claim
from reembed.database.connection import Connection


@dataclass(frozen=True)
class Open:
    """A job that has not ended, as far as the ledger knows."""

    id: int
    key: uuid.UUID
    name: str | None
    """The provider's; None: perhaps it has not heard of it."""
    texts: int
    reserved: int
    """Tokens of the budget, at the full price."""
    created_at: datetime


@dataclass(frozen=True)
class Counts:
    """What is at the provider, and what was."""

    jobs: int
    """Open ones."""
    texts: int
    """Of the open ones."""
    oldest_seconds: float | None
    tokens: int
    """Billed for those that have ended."""


def begin(
    connection: Connection, claim: Claim, key: uuid.UUID, *, texts: int, reserve: int | None, most: int
) -> Open | None:
    """Write down a job of so many texts that is about to be made; None: `most` are at the provider already.

    `reserve` is what it may cost at the most, in tokens at the full price; None: there is no budget. May be run again
    with the same key, which is new otherwise. Raises LeaseLost, limits.BudgetReached.
    """
    with connection.transaction():
        queries.run(connection, "lock_jobs", None, migration_id=claim.migration_id)
        before = open_of(connection, claim)
        if before is not None and before.key == key:
            return before
        if count(connection, claim.migration_id).jobs >= most:
            return None
        if reserve is not None and (room := limits.reserve(connection, claim.migration_id, reserve)):
            raise room.reached(reserve)
        row = queries.run(
            connection, "begin_job", _HELD, **claim.fence, key=key, texts=texts, reserved=reserve or 0
        ).fetchone()
        if row is None:
            raise claim.lost
    return Open(**row)


def name(connection: Connection, claim: Claim, job: Open, name: str) -> None:
    """The provider has it. Raises LeaseLost."""
    if queries.run(connection, "name_job", _HELD, **claim.fence, job=job.id, name=name).rowcount == 0:
        raise claim.lost


def end(connection: Connection, claim: Claim, job: Open, *, tokens: int, charged: int) -> None:
    """Nothing more comes of it; so many tokens were billed, for so many at the full price. Raises LeaseLost."""
    row = queries.one(connection, "end_job", _HELD, **claim.fence, job=job.id, tokens=tokens, charged=charged)
    if not row["held"]:
        raise claim.lost


def has_ended(connection: Connection, job: Open) -> bool:
    """Whether nobody is going to look for it any more."""
    return bool(queries.one(connection, "job_has_ended", None, job=job.id)["ended"])


def open_of(connection: Connection, claim: Claim) -> Open | None:
    row = queries.run(
        connection, "open_job", None, migration_id=claim.migration_id, number=claim.number
    ).fetchone()
    return Open(**row) if row else None


def all_open(connection: Connection, migration_id: int) -> list[Open]:
    """The oldest first."""
    return [Open(**row) for row in queries.run(connection, "open_jobs", None, migration_id=migration_id)]


def count(connection: Connection, migration_id: int) -> Counts:
    return Counts(**queries.one(connection, "count_jobs", None, migration_id=migration_id))


_HELD = {"held": queries.compose("held_chunk")}
