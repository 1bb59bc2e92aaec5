"""The limits of a migration: what it may cost, and how far it goes before a person looks.

A budget is kept in tokens of the new model, on the migration's own row:

1. Before a request, the most that it can cost is reserved. One statement compares and adds, so that of all workers that
   ask at once none is given what another has.
2. After it, what was billed takes the place of what was reserved.
3. A request that finds no room is not sent, and the migration is paused with the reason. Beside a backfill that is over
   the flag stays where it is, and what is pending waits.

What a worker reserved that died is never given back: its request may have been billed.
"""

from dataclasses import dataclass

from reembed import errors
from reembed.database import queries
from reembed.database.connection import Connection


class BudgetReached(errors.ReembedError):
    """The budget of {budget} USD has no room for another request.

    {spent} USD are spent, or may have been, and it may cost {next} USD; `reembed resume --budget USD` raises it.
    """


class NoRoom(errors.Refused):
    """The budget of {budget} USD of migration {migration} has no room for another request.

    `reembed resume --budget USD` raises it.
    """


class SpentAlready(errors.Refused):
    """A budget of {budget} USD is no limit any more: migration {migration} has spent {spent} USD, or may have.

    Give more with --budget.
    """


class EmbeddedAlready(errors.Refused):
    """{embedded} of {documents} documents are embedded already, which is {percent} % or more.

    Give more with --until.
    """


class AtWork(errors.Refused):
    """Migration {migration} is at work without this limit, and its workers would pass it.

    Limits are set by the `reembed start` that begins a migration, or by `reembed resume` after `reembed pause`, once
    the workers have left.
    """


@dataclass(frozen=True)
class Budget:
    usd: float
    tokens: int
    """What it buys."""


@dataclass(frozen=True)
class Room:
    """What is left of a budget."""

    budget_usd: float
    budget_tokens: int
    spent_tokens: int
    reserved_tokens: int
    budget_reached: bool
    """A request was not sent for its sake, since it was set."""

    @property
    def free_tokens(self) -> int:
        """What nobody has spent or set aside."""
        return self.budget_tokens - self.spent_tokens - self.reserved_tokens

    def has_room(self, tokens: int) -> bool:
        """Whether there is room for a request once all that is in flight turns out to cost nothing."""
        return self.spent_tokens + tokens <= self.budget_tokens

    def dollars(self, tokens: int) -> str:
        return f"{self.budget_usd * tokens / max(self.budget_tokens, 1):,.2f}"

    def reached(self, tokens: int) -> BudgetReached:
        """By a request of so many tokens."""
        spent = self.dollars(self.spent_tokens + self.reserved_tokens)
        return BudgetReached(budget=f"{self.budget_usd:,.2f}", spent=spent, next=self.dollars(tokens))


def set_limits(
    connection: Connection, migration_id: int, *, budget: Budget | None = None, until: float | None = None
) -> None:
    """Set what is given, keep the rest. Call inside a transaction.

    Raises AtWork for a first limit while workers count for none, SpentAlready, EmbeddedAlready.
    """
    if budget is None and until is None:
        return
    if until is not None:
        share = queries.one(connection, "share", None, migration_id=migration_id)
        if share["embedded"] and 100 * share["embedded"] >= until * share["documents"]:
            raise EmbeddedAlready(
                embedded=f"{share['embedded']:,}", documents=f"{share['documents']:,}", percent=f"{until:g}"
            )
    row = queries.run(
        connection, "set_limits", None,
        migration_id=migration_id, usd=budget and budget.usd, tokens=budget and budget.tokens, until=until,
    ).fetchone()  # fmt: skip
    if row is None:
        raise AtWork(migration=migration_id)
    if budget is not None and row["spent_tokens"] >= budget.tokens:
        spent = f"{budget.usd * row['spent_tokens'] / max(budget.tokens, 1):,.2f}"
        raise SpentAlready(budget=f"{budget.usd:,.2f}", migration=migration_id, spent=spent)


def room(connection: Connection, migration_id: int) -> Room:
    """Of a migration that has a budget."""
    return Room(**queries.one(connection, "budget", None, migration_id=migration_id))


def reserve(connection: Connection, migration_id: int, tokens: int) -> Room | None:
    """Set so many tokens aside; None: they are. Otherwise what is left, which is less."""
    reserved = queries.run(connection, "reserve_tokens", None, migration_id=migration_id, tokens=tokens)
    if reserved.rowcount == 1:
        return None
    return room(connection, migration_id)


def settle(connection: Connection, migration_id: int, *, reserved: int, billed: int) -> None:
    """Not to be run twice for one request."""
    queries.run(
        connection, "settle_tokens", None, migration_id=migration_id, reserved=reserved, billed=billed
    )


def pause(connection: Connection, migration_id: int, tokens: int, reason: str) -> None:
    """Pause, unless there is room for so many tokens by now."""
    queries.run(connection, "pause_at_budget", None, migration_id=migration_id, tokens=tokens, reason=reason)


FAR_ENOUGH = (
    "{embedded:,} of {documents:,} documents are embedded, with --until {percent:g}; `reembed resume` goes on"
)


def far_enough(connection: Connection, migration_id: int) -> bool:
    """Whether nothing more is to be sent. The first who sees that the share is embedded pauses the migration."""
    share = queries.one(connection, "share", None, migration_id=migration_id)
    percent = share["until_percent"]
    if share["state"] == "paused":
        return True
    if percent is None or 100 * share["embedded"] < percent * share["documents"]:
        return False
    reason = FAR_ENOUGH.format(embedded=share["embedded"], documents=share["documents"], percent=percent)
    queries.run(connection, "pause_at_share", None, migration_id=migration_id, until=percent, reason=reason)
    return True


def enough_with(connection: Connection, migration_id: int, texts: int) -> bool:
    """Whether it will be far enough once so many more are embedded, and nothing is to be added to them."""
    share = queries.one(connection, "share", None, migration_id=migration_id)
    percent = share["until_percent"]
    return percent is not None and 100 * (share["embedded"] + texts) >= percent * share["documents"]
