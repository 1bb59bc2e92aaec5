"""What Prometheus is told, beside what the ledger and `status` say."""

import urllib.request
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from config.settings import Settings
from orchestrator import advance, exporter, flag, progress, reasons, resume
from reembed.database import ledger, requests
from reembed.database.connection import Connection
from tests import steps

pytestmark = pytest.mark.usefixtures("broker")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(metrics: exporter.Ledger) -> Samples:
    """Over HTTP, as Prometheus does it: by name and labels, those of every sample left out."""
    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return {
        (
            sample.name,
            frozenset(set(sample.labels.items()) - {("migration", "1"), ("table", "public.documents")}),
        ): (sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"reembed_{name}", frozenset(labels.items())))


@pytest.fixture
def metrics(settings: Settings) -> exporter.Ledger:
    # A price of a token that makes for a sum to recognise
    return exporter.Ledger(settings.model_copy(update={"embed_price_per_million_tokens": 1e6}))


def test_before_the_first_migration_it_is_up_and_knows_of_none(
    metrics: exporter.Ledger, database: Connection
) -> None:
    assert scrape(metrics) == {("reembed_up", frozenset()): 1}


def test_a_database_that_is_away_is_told_and_nothing_else(settings: Settings) -> None:
    nowhere = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
    away = settings.model_copy(update={"database_url": nowhere, "database_direct_url": nowhere})
    assert scrape(exporter.Ledger(away)) == {("reembed_up", frozenset()): 0}


def test_a_backfill_half_way_is_told_as_the_ledger_has_it(
    metrics: exporter.Ledger, settings: Settings, migration: ledger.Migration, database: Connection
) -> None:
    steps.embed(settings, migration, 1)
    samples = scrape(metrics)
    status = progress.status(database, migration)
    assert value(samples, "state", state="backfilling") == 1
    assert value(samples, "state", state="ready") == 0
    assert value(samples, "documents", state="embedded") == status.embedded == 5
    assert value(samples, "documents", state="pending") == status.pending == 7
    assert [value(samples, "chunks", state=state) for state in ("done", "pending")] == [1, 2]
    assert value(samples, "tokens_total") == status.tokens
    assert value(samples, "cost_dollars_total") == status.tokens
    assert value(samples, "budget_dollars") is None
    assert value(samples, "info", model=str(migration.new_model)) == 1
    assert value(samples, "canary_percent") == 0
    # And what a scrape cannot know yet is not made up
    assert value(samples, "lag_seconds") is None


def test_who_paused_it_is_told_apart_from_what_stopped_it(
    metrics: exporter.Ledger, migration: ledger.Migration, database: Connection
) -> None:
    def waits_for() -> set[str | None]:
        samples = scrape(metrics)
        return {kind for kind in reasons.KINDS if value(samples, "waiting", kind=kind) == 1}

    assert waits_for() == set()
    resume.pause(database, migration)
    assert waits_for() == {"operator"}
    ledger.change_state(database, ledger.get(database, migration.id), "backfilling")
    ledger.change_state(database, migration, "paused", "the key is wrong")
    assert waits_for() == {"fault"}


@pytest.mark.parametrize("done", [(), (1, 2, 3)])
def test_of_an_aborted_migration_nothing_is_embedded_whatever_was(
    metrics: exporter.Ledger,
    settings: Settings,
    migration: ledger.Migration,
    database: Connection,
    done: tuple[int, ...],
) -> None:
    steps.embed(settings, migration, *done)
    flag.abort(database, migration)
    status = progress.status(database, ledger.get(database, migration.id))
    assert (status.documents, status.embedded, status.pending, status.failed) == (12, 0, 12, 0)
    samples = scrape(metrics)
    counted = {
        state: value(samples, "documents", state=state) for state in ("embedded", "pending", "refused")
    }
    assert counted == {"embedded": 0, "pending": 12, "refused": 0}
    assert value(samples, "eta_seconds") is None


def test_requests_are_told_by_what_became_of_them(
    metrics: exporter.Ledger, settings: Settings, migration: ledger.Migration, database: Connection
) -> None:
    steps.embed(settings, migration, 1, 2)
    answered = requests.of(database, migration.id)["answered"]
    assert answered.requests == 2
    requests.add(database, {(migration.id, "rate_limited"): requests.Requests(3, 0.5)})
    requests.add(database, {(migration.id, "rate_limited"): requests.Requests(1, 0.5)})
    requests.add(database, {(migration.id, "held"): requests.Requests(2, 7.5)})
    samples = scrape(metrics)
    assert value(samples, "requests_total", outcome="answered") == 2
    assert value(samples, "request_seconds_total", outcome="answered") == pytest.approx(answered.seconds)
    assert value(samples, "requests_total", outcome="rate_limited") == 4
    assert value(samples, "requests_total", outcome="broken") == 0
    assert value(samples, "quota_held_requests_total") == 2
    assert value(samples, "quota_wait_seconds_total") == 7.5


def test_a_table_is_not_counted_at_each_scrape_but_a_change_of_state_is_seen_at_once(
    metrics: exporter.Ledger, settings: Settings, migration: ledger.Migration, database: Connection
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    advance.advance(database, settings, migration.id)
    assert value(scrape(metrics), "documents", state="pending") == 0
    database.execute("UPDATE documents SET content = content || ' once more' WHERE id = 7")
    assert value(scrape(metrics), "documents", state="pending") == 0
    flag.switch(database, ledger.get(database, migration.id), settings, force=False)
    samples = scrape(metrics)
    assert value(samples, "state", state="switched") == 1
    assert value(samples, "canary_percent") == 100
    assert value(samples, "documents", state="pending") == 1


def test_the_workload_is_what_workers_could_be_at_now(
    settings: Settings, migration: ledger.Migration, database: Connection
) -> None:
    def workload() -> Any:
        return database.execute("SELECT reembed.workload()").fetchall()

    assert workload() == [(3,)]
    steps.embed(settings, migration, 1)
    assert workload() == [(2,)]
    ledger.change_state(database, migration, "paused")
    assert workload() == [(0,)]
