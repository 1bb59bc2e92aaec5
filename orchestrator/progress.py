"""Where a migration stands: the numbers of `status`, and the sentence that says them.

During the backfill they come from the ledger alone, so that looking costs nothing however large the table; after it,
pending documents are counted exactly, by the small index that exists for that.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from reembed.database import chunks, documents, failures, flags, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

_BACKFILL = ("planned", "backfilling", "paused", "failed")
# Workers claim within a second of a message; silence longer than this has a reason
_SILENCE_SECONDS = 5

NO_WORKER = (
    "no worker has taken a chunk for {seconds:.0f} s; start one with "
    "`celery -A config.celery_app worker -Q reembed.embed`"
)
NO_CONTROL_WORKER = (
    "every chunk is done and nobody goes on for {seconds:.0f} s; start "
    "`celery -A config.celery_app worker -Q reembed.control` and `celery -A config.celery_app beat`"
)


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
    chunks: dict[str, int]
    tokens: int
    documents_per_second: float | None
    eta_seconds: float | None
    waiting_for: str | None
    active_column: str
    canary_percent: int

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def sentence(self) -> str:
        """One line for a person."""
        parts = [f"migration {self.migration} of {self.table} to {self.model}: {self.state}"]
        share = self.embedded / self.documents if self.documents else 1.0
        parts.append(f"{self.embedded:,} of {self.documents:,} documents ({share:.0%})")
        if self.documents_per_second and self.state == "backfilling":
            parts.append(f"{self.documents_per_second:,.0f} a second")
        if self.eta_seconds is not None:
            parts.append(f"{duration(self.eta_seconds)} left")
        if self.failed:
            parts.append(f"{self.failed:,} refused by the provider")
        if self.waiting_for:
            parts.append(f"waiting: {self.waiting_for}")
        return ", ".join(parts)


def status(connection: Connection, migration: Migration) -> Status:
    counts = chunks.count(connection, migration.id)
    refused = failures.count(connection, migration)
    without_text = 0
    if migration.state in _BACKFILL:
        total, pending = counts.documents, counts.remaining
    elif migration.state in ("cleaned", "aborted"):
        total, pending = counts.documents, 0
    else:
        total, pending = (
            documents.count_all(connection, migration),
            documents.count_pending(connection, migration),
        )
        validation = ledger.last_validation(connection, migration.id)
        without_text = validation["report"]["without_text"] if validation else 0
    rate = counts.embedded / counts.seconds if counts.seconds else None
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
        chunks={
            "pending": counts.pending,
            "running": counts.running,
            "done": counts.done,
            "failed": counts.failed,
        },
        tokens=counts.tokens,
        documents_per_second=rate,
        eta_seconds=pending / rate if rate and migration.state == "backfilling" else None,
        waiting_for=waiting_for(migration.state, migration.reason, counts),
        active_column=flag.active().column if flag else migration.table.old,
        canary_percent=100 if migration.state == "switched" else 0,
    )


def waiting_for(state: str, reason: str | None, counts: chunks.Counts) -> str | None:
    """Why nothing moves, in words; None while something does."""
    if state in ("paused", "failed"):
        return reason
    if state == "indexing":
        return "the index"
    if state == "validating" and counts.unfinished == 0:
        return "the judgement"
    if state in ("planned", "cleaned", "aborted"):
        return None
    silent = counts.idle_seconds is not None and counts.idle_seconds >= _SILENCE_SECONDS
    if silent and counts.unfinished == 0 and state == "backfilling":
        return NO_CONTROL_WORKER.format(seconds=counts.idle_seconds)
    if silent and counts.running == 0 and counts.published:
        return NO_WORKER.format(seconds=counts.idle_seconds)
    return counts.waiting_for or (counts.error if counts.failed else None) or reason


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
