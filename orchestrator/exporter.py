"""What Prometheus is told: the ledger, read anew at each scrape, so that whichever process answers knows everything.

Of every table the newest migration. What `status` counts in the table itself, once the backfill is over, is counted
less often the longer it takes, and shown as it was counted last meanwhile.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.settings import Settings
from orchestrator import progress, reasons
from orchestrator.counting import Counting
from orchestrator.prices import Prices
from orchestrator.progress import Status
from reembed import errors
from reembed.database import connection, overview, requests
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

_LABELS = ("migration", "table")

# Prometheus asks all day, whether anybody looks or not
_COUNT_EVERY_SECONDS = 60.0


class Ledger(Collector):
    """Connects at each scrape: a database that was away is met again as soon as it is back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counting = Counting(_COUNT_EVERY_SECONDS)
        # Prometheus may ask again before it was answered
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """`reembed_up` alone where the database is away."""
        up = GaugeMetricFamily("reembed_up", "Whether the ledger could be read.")
        metrics: list[Metric] = []
        with self._lock:
            try:
                with connection.connect(self._settings.direct_database, "metrics") as database:
                    metrics = list(
                        _metrics(database, [self._look(database, one) for one in overview.newest(database)])
                    )
                up.add_metric([], 1)
            except (psycopg.Error, errors.ReembedError):
                up.add_metric([], 0)
        yield up
        yield from metrics

    def _look(self, database: Connection, migration: Migration) -> Status:
        prices = Prices.of(self._settings, migration)
        return self._counting.status(migration, lambda: progress.status(database, migration, prices))


def _metrics(database: Connection, statuses: list[Status]) -> Iterable[Metric]:
    told = _Families()
    states = overview.states(database) if statuses else []
    for status in statuses:
        where = (str(status.migration), status.table)
        told.gauge("info", "What is migrated to what.", where, 1, model=status.model)
        for state in states:
            told.gauge("state", "1 for the state that it is in.", where, state == status.state, state=state)
        _documents(told, where, status)
        _pace(told, where, status)
        _provider(told, where, requests.of(database, status.migration))
        _flag(told, where, status)
    return told.families.values()


def _documents(told: "_Families", where: tuple[str, str], status: Status) -> None:
    counts = {
        "embedded": status.embedded,
        "pending": status.pending,
        "refused": status.failed,
        "without_text": status.without_text,
    }
    for state, count in counts.items():
        told.gauge("documents", "Documents of the table.", where, count, state=state)
    told.gauge("overlong_documents", "Embedded, longer than the model takes.", where, status.overlong)
    told.gauge("jobs", "At the provider's Batch API.", where, status.jobs)
    told.gauge("job_texts", "Texts in these jobs.", where, status.job_texts)
    for state, count in status.chunks.items():
        told.gauge("chunks", "Chunks by state.", where, count, state=state)
    told.gauge("old_vectors_missing", "A rollback would hide these documents.", where, status.old_hidden)
    told.gauge("old_vectors_stale", "A rollback would find these by an older text.", where, status.old_stale)


def _pace(told: "_Families", where: tuple[str, str], status: Status) -> None:
    told.gauge(
        "documents_per_second", "On average since the first chunk.", where, status.documents_per_second
    )
    told.gauge("eta_seconds", "Until the backfill is over.", where, status.eta_seconds)
    told.gauge("lag_seconds", "For so long a text may have been waiting.", where, status.lag_seconds)
    waits_for = reasons.kind(status.state, status.waiting_for)
    for kind in reasons.KINDS:
        told.gauge("waiting", "1 for the kind of what it waits for.", where, kind == waits_for, kind=kind)
    built = status.index_progress
    told.gauge("index_percent", "Of the phase of the index build.", where, built.percent if built else None)
    told.counter("tokens", "Tokens that the provider billed.", where, status.tokens)
    told.counter("cost_dollars", "What they cost, where the price is known.", where, status.cost_usd)
    told.gauge("budget_dollars", "What they may cost.", where, status.budget_usd)


def _provider(
    told: "_Families", where: tuple[str, str], made: dict[requests.Outcome, requests.Requests]
) -> None:
    for outcome, of_it in made.items():
        if outcome == "held":
            told.counter("quota_held_requests", "Requests that waited for the quota.", where, of_it.requests)
            told.counter("quota_wait_seconds", "How long they did, together.", where, of_it.seconds)
        else:
            told.counter("requests", "Requests to the provider.", where, of_it.requests, outcome=outcome)
            told.counter("request_seconds", "Until the answers.", where, of_it.seconds, outcome=outcome)


def _flag(told: "_Families", where: tuple[str, str], status: Status) -> None:
    told.gauge("canary_percent", "Share of keys that read the new column.", where, status.canary_percent)
    for side, searches in status.searches.items():
        told.counter("searches", "Live searches that were counted.", where, searches.searches, side=side)
        seconds = searches.searches * (searches.mean_ms or 0) / 1_000
        told.counter("search_seconds", "In the database.", where, seconds, side=side)
    if status.shadow:
        told.gauge("shadow_overlap", "Of searches on both sides.", where, status.shadow.overlap_mean)


class _Families:
    """One family for each name, whoever adds to it. None is not told."""

    def __init__(self) -> None:
        self.families: dict[str, Any] = {}

    def gauge(self, name: str, says: str, where: tuple[str, str], value: float | None, **labels: str) -> None:
        self._add(GaugeMetricFamily, name, says, where, value, labels)

    def counter(
        self, name: str, says: str, where: tuple[str, str], value: float | None, **labels: str
    ) -> None:
        self._add(CounterMetricFamily, name, says, where, value, labels)

    def _add(
        self,
        family: Any,
        name: str,
        says: str,
        where: tuple[str, str],
        value: float | None,
        labels: dict[str, str],
    ) -> None:
        if name not in self.families:
            self.families[name] = family(f"reembed_{name}", says, labels=[*_LABELS, *labels])
        if value is not None:
            self.families[name].add_metric([*where, *labels.values()], value)
