"""The ledger's chunks: planned, claimed, fenced, given back.

A worker owns a chunk through a Claim: the attempt number that the claim was counted with. Every later write names it,
so a worker whose lease ran out, and whose chunk another worker has by now, writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from reembed import errors
from reembed.database import queries
from reembed.database.connection import Connection
from reembed.database.ledger import Migration, Side

# An application that never stops writing must not hold up a migration for ever: after some rounds of catching up, no
# more pending documents than this are left to the schedule, which embeds them within seconds
_TOLERABLE = 100
_ROUNDS_TOLERABLE = 2
# All documents are alike
_UNWEIGHTED = {"weight": sql.SQL("0::float8"), "running_weight": sql.SQL("0::float8")}


@dataclass(frozen=True)
class Claim:
    migration_id: int
    side: Side
    number: int
    attempt: int
    first_id: str
    last_id: str
    documents: int
    catch_up: bool = False

    @property
    def fence(self) -> dict[str, int]:
        return {"migration_id": self.migration_id, "number": self.number, "attempt": self.attempt}

    @property
    def lost(self) -> errors.LeaseLost:
        return errors.LeaseLost(chunk=self.number, migration=self.migration_id)


@dataclass(frozen=True)
class Counts:
    """Chunks by state, and the progress they add up to."""

    pending: int
    running: int
    held: int
    """Running, with a lease that has not run out a minute ago."""
    done: int
    failed: int
    given_up: int
    published: int
    """Pending, with a message on its way."""
    due: int
    """Pending and not published, though it should have been, for a minute if it was put off."""
    documents: int
    """In the chunks of the plan, catching up left out."""
    remaining: int
    """Not embedded yet, in chunks that are not done, those for catching up among them."""
    embedded: int
    tokens: int
    seconds: float
    """From the first claim to the last progress."""
    idle_seconds: float | None
    """Since anything was published, claimed or committed; None before the first."""
    waiting_for: str | None
    error: str | None

    @property
    def unfinished(self) -> int:
        return self.pending + self.running + self.failed - self.given_up


def plan(connection: Connection, migration: Migration, order_column: str | None = None) -> int:
    """Write the chunk rows of the whole table, instead of those of a plan that was interrupted; their number.

    Chunks whose documents have the most of `order_column`, a numeric one, are published first.
    """
    delete(connection, migration.id, "new")
    names: dict[str, sql.Composable] = {**migration.names, "wanted": sql.SQL("true")}
    if order_column is not None:
        names["order_column"] = queries.identifier(order_column)
        names["weight"] = queries.compose("weight", names)
        names["running_weight"] = queries.compose("running_weight", names)
    return _plan(connection, migration, names, catch_up=False)


def delete(connection: Connection, migration_id: int, side: Side) -> None:
    """Forget the chunks of a side; workers that are at them write nothing more."""
    queries.run(connection, "delete_chunks", None, migration_id=migration_id, side=side)


def plan_catch_up(connection: Connection, migration: Migration, side: Side = "new") -> int:
    """Write chunk rows for what is pending outside any chunk; their number, 0 where nothing is."""
    names = migration.names_of(side)
    return _plan(
        connection, migration, {**names, "wanted": queries.compose("catch_up", names)}, catch_up=True
    )


def _plan(
    connection: Connection, migration: Migration, names: Mapping[str, sql.Composable], *, catch_up: bool
) -> int:
    after = queries.one(connection, "last_chunk_number", None, migration_id=migration.id)["number"]
    cursor = queries.run(
        connection, "plan_chunks", {**_UNWEIGHTED, **names},
        after_number=after, chunk_size=migration.chunk_size, catch_up=catch_up,
    )  # fmt: skip
    return cursor.rowcount


def claim(
    connection: Connection,
    migration_id: int,
    number: int,
    *,
    owner: str,
    lease_seconds: float,
    max_strikes: int,
) -> Claim | None:
    """The chunk, if it is free and wanted; None: another worker has it, or nobody should."""
    row = queries.run(
        connection, "claim_chunk", None,
        migration_id=migration_id, number=number, owner=owner, lease_seconds=lease_seconds, max_strikes=max_strikes,
    ).fetchone()  # fmt: skip
    return Claim(**row) if row else None


def claim_next(
    connection: Connection, migration_id: int, side: Side, *, owner: str, lease_seconds: float
) -> Claim | None:
    """A chunk that is free, wanted and never struck, what matters most first; None: there is none."""
    row = queries.run(
        connection, "claim_next_chunk", None,
        migration_id=migration_id, side=side, owner=owner, lease_seconds=lease_seconds,
    ).fetchone()  # fmt: skip
    return Claim(**row) if row else None


def renew(connection: Connection, claim: Claim, *, lease_seconds: float, waiting_for: str | None) -> bool:
    """The heartbeat. True while the migration wants the chunk done, False once it was paused or given up.

    Raises LeaseLost.
    """
    row = queries.run(
        connection, "renew_lease", None, **claim.fence, lease_seconds=lease_seconds, waiting_for=waiting_for
    ).fetchone()
    if row is None:
        raise claim.lost
    return not row["unwanted"]


def finish(connection: Connection, claim: Claim) -> None:
    """Raises LeaseLost."""
    if queries.run(connection, "finish_chunk", None, **claim.fence).rowcount == 0:
        raise claim.lost


def give_back(
    connection: Connection, claim: Claim, *, waiting_for: str | None = None, retry_seconds: float = 0.0
) -> None:
    """Leave the chunk for another worker, without a strike. Does nothing where the lease is lost."""
    queries.run(
        connection,
        "give_back_chunk",
        None,
        **claim.fence,
        waiting_for=waiting_for,
        retry_seconds=retry_seconds,
    )


def fail(connection: Connection, claim: Claim, *, error: str, max_strikes: int, retry_seconds: float) -> None:
    """This attempt failed; tried again after `retry_seconds`, doubled at each strike. Nothing if the lease is lost."""
    queries.run(
        connection, "fail_chunk", None,
        **claim.fence, error=error, max_strikes=max_strikes, retry_seconds=retry_seconds,
    )  # fmt: skip


def rescue(connection: Connection, migration_id: int, *, max_strikes: int) -> int:
    """Take back the chunks whose lease ran out; their number."""
    return queries.run(
        connection, "rescue_chunks", None, migration_id=migration_id, max_strikes=max_strikes
    ).rowcount


def rerun_failed(connection: Connection, migration_id: int, *, everything: bool) -> int:
    """Failed chunks become pending: those whose time has come, or everything with its strikes forgiven."""
    return queries.run(
        connection, "rerun_failed_chunks", None, migration_id=migration_id, all=everything
    ).rowcount


def hurry(connection: Connection, migration_id: int) -> None:
    """Whatever was put off is due at once."""
    queries.run(connection, "hurry_chunks", None, migration_id=migration_id)


def take_wave(connection: Connection, migration_id: int, limit: int) -> list[dict[str, Any]]:
    """Mark up to `limit` chunks as published and return them (number, first_id, last_id), what matters most first."""
    rows = queries.run(connection, "take_wave", None, migration_id=migration_id, limit=limit).fetchall()
    return sorted(rows, key=lambda row: (-row["priority"], row["number"]))


def forget_messages(connection: Connection, migration_id: int, *, older_than_seconds: float) -> int:
    """Chunks published that long ago and not claimed since count as unpublished again; their number."""
    return queries.run(
        connection, "forget_messages", None, migration_id=migration_id, older_than_seconds=older_than_seconds
    ).rowcount


def count_unfinished(connection: Connection, migration_id: int) -> dict[Side, int]:
    """How many chunks are to be worked on, not done and not given up, for each column that has any."""
    rows = queries.run(connection, "count_unfinished", None, migration_id=migration_id)
    return {row["side"]: row["unfinished"] for row in rows}


def count(connection: Connection, migration_id: int) -> Counts:
    return Counts(**queries.one(connection, "count_chunks", None, migration_id=migration_id))


def count_catch_ups(connection: Connection, migration_id: int) -> int:
    """How often the migration caught up since it entered its present state."""
    return int(queries.one(connection, "count_catch_ups", None, migration_id=migration_id)["rounds"])


def tolerable(connection: Connection, migration_id: int) -> int:
    """How many documents may be pending at any moment, because the application goes on writing; 0 if it does not."""
    last = queries.one(connection, "count_last_round", None, migration_id=migration_id)["documents"]
    return max(_TOLERABLE, _ROUNDS_TOLERABLE * int(last)) if last else 0


def mark_looked(connection: Connection, migration_id: int) -> None:
    """All that was pending is in a chunk by now."""
    queries.run(connection, "mark_looked", None, migration_id=migration_id)


def lag(connection: Connection, migration_id: int) -> float | None:
    """Seconds for which a text may have been waiting for its vector; None where nobody has looked yet."""
    seconds: float | None = queries.one(connection, "lag", None, migration_id=migration_id)["seconds"]
    return seconds
