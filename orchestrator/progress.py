"""Where a migration stands: the numbers of `status`, and the sentence that says them.

During the backfill they come from the ledger alone, so that looking costs nothing however large the table; after it,
pending documents are counted exactly, by the small index that exists for that.
"""

import dataclasses
import datetime
from dataclasses import dataclass
from typing import Any

from orchestrator.prices import UNKNOWN, Prices
from reembed.database import (
    bills,
    building,
    chunks,
    decisions,
    documents,
    failures,
    flags,
    jobs,
    ledger,
    overlong,
    searches,
    validations,
)
from reembed.database.building import Progress
from reembed.database.connection import Connection
from reembed.database.decisions import Decision
from reembed.database.ledger import Migration
from reembed.database.searches import ShadowReport, SideReport

_BACKFILL = ("planned", "backfilling", "paused", "failed", "indexing")
_OVER = ("cleaned", "aborted")
# Workers claim within a second of a message; silence longer than this has a reason
_SILENCE_SECONDS = 5

NO_WORKER = (
    "no worker has taken a chunk for {seconds:.0f} s; start one with "
    "`celery -A config.celery_app worker -Q reembed.embed`"
)
NO_CONTROL_WORKER = (
    "{what}, and nobody goes on for {seconds:.0f} s; start "
    "`celery -A config.celery_app worker -Q reembed.control` and `celery -A config.celery_app beat`"
)


COMING_HOME = "the vectors to come home; `reembed cleanup` goes on with it, should nobody be at it"
NOTHING_OLD = documents.OldPending(hidden=0, stale=0)


@dataclass(frozen=True)
class Status:
    migration: int
    table: str
    model: str
    state: str
    documents: int
    embedded: int
    pending: int
    failed: int
    """Documents that the provider refuses."""
    without_text: int
    """At the last judgement; nothing to embed in these."""
    overlong: int
    """Embedded, though their text is longer than the model takes."""
    chunks: dict[str, int]
    lag_seconds: float | None
    """For so long a text may have been waiting for its vector; None during the backfill."""
    old_hidden: int
    """After the switch: documents that a rollback would hide, for want of an old vector."""
    old_stale: int
    """After the switch: documents whose old vector is of an earlier text."""
    jobs: int
    job_texts: int
    """At the provider's Batch API, and of how many texts."""
    tokens: int
    cost_usd: float | None
    """Of these tokens and of those of the judgements; None where nobody knows the price."""
    price_as_of: datetime.date | None
    """The day of the price list; None where the operator set the price."""
    budget_usd: float | None
    until_percent: float | None
    """The limits that it pauses at."""
    documents_per_second: float | None
    eta_seconds: float | None
    waiting_for: str | None
    index_progress: Progress | None
    """While it is being built."""
    active_column: str
    canary_percent: int
    """The share of keys whose searches read the new column."""
    searches: dict[ledger.Side, SideReport]
    """Live searches that services counted, by the side that answered, since the migration was ready."""
    shadow: ShadowReport | None
    """Live searches that ran on both sides."""
    last_decision: Decision | None
    """What a person decided last, and what it overrode."""

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def sentence(self) -> str:
        """One line for a person."""
        parts = [f"migration {self.migration} of {self.table} to {self.model}: {self.state}"]
        # Rounded down: nearly all is not all
        share = 100 * self.embedded // self.documents if self.documents else 100
        parts.append(f"{self.embedded:,} of {self.documents:,} documents ({share} %)")
        if self.documents_per_second and self.state == "backfilling":
            parts.append(pace(self.documents_per_second))
        if self.eta_seconds is not None:
            parts.append(f"{duration(self.eta_seconds)} left")
        if self.failed:
            parts.append(f"{self.failed:,} refused")
        if self.overlong:
            parts.append(f"{self.overlong:,} over-long")
        if self.pending and self.lag_seconds is not None:
            parts.append(f"{self.pending:,} pending for {duration(self.lag_seconds)} at most")
        if self.old_hidden:
            parts.append(f"{self.old_hidden:,} hidden by a rollback")
        if self.waiting_for:
            parts.append(f"waiting: {self.waiting_for}")
        return ", ".join(parts)


def from_the_ledger(state: str) -> bool:
    """Whether looking costs nothing; otherwise the table is counted."""
    return state in _BACKFILL or state in _OVER


def status(connection: Connection, migration: Migration, prices: Prices = UNKNOWN) -> Status:
    counts = chunks.count(connection, migration.id)
    refused = failures.count(connection, migration)
    without_text = 0
    lag, old_pending = None, NOTHING_OLD
    if migration.state in _BACKFILL:
        total, pending = counts.documents, counts.remaining
    elif migration.state == "aborted":
        # Whatever was embedded went with the new column
        total, pending = counts.documents, max(counts.documents - refused, 0)
    elif migration.state == "cleaned":
        total, pending = counts.documents, 0
    else:
        total, pending = (
            documents.count_all(connection, migration),
            documents.count_pending(connection, migration),
        )
        validation = validations.last(connection, migration.id)
        without_text = validation["report"]["without_text"] if validation else 0
        lag = chunks.lag(connection, migration.id)
    if migration.state == "switched":
        old_pending = documents.count_old_pending(connection, migration)
    index = None
    if migration.state in ("indexing", "cleaning"):
        index = building.progress(connection, migration.table)
    rate = counts.embedded / counts.seconds if counts.seconds else None
    at_provider = jobs.count(connection, migration.id)
    flag = flags.read(connection, migration.table.schema, migration.table.name)
    return Status(
        migration=migration.id,
        table=str(migration.table),
        model=str(migration.new_model),
        state=migration.state,
        documents=total,
        embedded=max(total - pending - refused - without_text, 0),
        pending=pending,
        failed=refused,
        without_text=without_text,
        overlong=overlong.count(connection, migration),
        chunks={
            "pending": counts.pending,
            "running": counts.running,
            "done": counts.done,
            "failed": counts.failed,
        },
        lag_seconds=lag,
        old_hidden=old_pending.hidden,
        old_stale=old_pending.stale,
        jobs=at_provider.jobs,
        job_texts=at_provider.texts,
        tokens=counts.tokens + at_provider.tokens,
        cost_usd=prices.cost(bills.of(connection, migration.id)),
        price_as_of=prices.new.as_of if prices.new else None,
        budget_usd=migration.budget_usd,
        until_percent=migration.until_percent,
        documents_per_second=rate,
        eta_seconds=pending / rate if rate and migration.state == "backfilling" else None,
        waiting_for=waiting_for(migration.state, migration.reason, counts, index),
        index_progress=index,
        active_column=flag.active().column if flag else migration.table.old,
        canary_percent=100
        if migration.state in ("switched", "cleaning", "cleaned")
        else migration.canary_percent,
        searches=searches.by_side(connection, migration.id),
        shadow=searches.shadow(connection, migration.id),
        last_decision=next(iter(decisions.of(connection, migration.id)), None),
    )


def waiting_for(
    state: str, reason: str | None, counts: chunks.Counts, index: Progress | None = None
) -> str | None:
    """Why nothing moves, in words; None while something does."""
    if state == "paused":
        return _with_advice(reason, "`reembed resume`", "continues")
    if state == "failed":
        return _with_advice(reason, "`reembed retry`", "lets it go on")
    if state == "indexing":
        return f"the index: {index}" if index else "the index"
    if state == "cleaning":
        return f"{COMING_HOME} (the index: {index})" if index else COMING_HOME
    if state == "validating" and counts.unfinished == 0:
        return "the judgement"
    if state in ("planned", "cleaned", "aborted"):
        return None
    silent = counts.idle_seconds is not None and counts.idle_seconds >= _SILENCE_SECONDS
    if silent and counts.unfinished == 0 and state == "backfilling" and reason is None:
        return NO_CONTROL_WORKER.format(what="every chunk is done", seconds=counts.idle_seconds)
    if silent and counts.held == 0 and counts.published:
        return NO_WORKER.format(seconds=counts.idle_seconds)
    if silent and counts.held == 0 and (counts.due or counts.running):
        return NO_CONTROL_WORKER.format(what="chunks wait to be published", seconds=counts.idle_seconds)
    return counts.waiting_for or (counts.error if counts.failed else None) or reason


def _with_advice(reason: str | None, command: str, does: str) -> str:
    """What to type, unless the reason says it itself."""
    told = str(reason)
    return told if command.removesuffix("`") in told else f"{told.rstrip('.')}; {command} {does}"


def pace(per_second: float) -> str:
    """Documents per second as a person says it: 1,250 a second, 0.4 a second."""
    return f"{per_second:,.0f} a second" if per_second >= 10 else f"{per_second:.1f} a second"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3 h 20 min, 4 d 2 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
