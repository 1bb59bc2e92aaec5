"""The canary: a part of the keys reads the new column, always the same part; both sides are counted and compared."""

import logging
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg

from orchestrator import flag, gate, progress
from orchestrator.command.history import sentence
from orchestrator.embedding_server import models
from reembed.database import canary, decisions, ledger
from reembed.retrieval import AsyncRetriever, Retriever, background, cache
from tests import installation, waiting
from tests.integration import site
from tests.integration.site import TEXTS, Site

KEYS = [f"user-{number}" for number in range(150)] + ["", "ünïcode ⚑", "a:b", "1"]


def key_in(migration: int, percent: int, inside: bool) -> str:
    return next(key for key in KEYS if canary.chosen(migration, key, percent) == inside)


def side_of(hits: list[Any]) -> str:
    """By which model's vectors a search for the fifth text found its second hit: their similarities differ."""
    for side, model in (("old", installation.OLD_MODEL), ("new", installation.NEW_MODEL)):
        vectors = models.embed(model, TEXTS, site.DIMENSIONS)
        if hits[1].similarity == pytest.approx(sorted(vectors @ vectors[4])[-2], abs=1e-5):
            return side
    raise AssertionError(hits)


def test_a_keys_bucket_is_the_same_in_python_and_in_sql(ready_site: Site) -> None:
    rows = ready_site.database.execute(
        "SELECT key, reembed.bucket(7, key) FROM unnest(%s::text[]) AS key", [KEYS]
    ).fetchall()
    assert dict(rows) == {key: canary.bucket(7, key) for key in KEYS}
    assert len({bucket for _, bucket in rows}) > 60


def test_a_key_keeps_its_side_while_the_share_only_rises(ready_site: Site) -> None:
    chosen: set[str] = set()
    with Retriever(ready_site.settings) as retriever:
        for percent in (5, 30, 60, 100):
            ready_site.switch(percent)
            now = {
                key for key in KEYS if percent == 100 or canary.chosen(ready_site.migration.id, key, percent)
            }
            assert chosen <= now
            chosen = now
            for inside in (True, False):
                if percent < 100 or inside:
                    key = key_in(ready_site.migration.id, min(percent, 99), inside)
                    retriever._searching._programs.cache.forget()
                    hits = retriever.search(ready_site.database, TEXTS[4], 2, key=key)
                    assert side_of(hits) == ("new" if inside else "old")
                    row = ready_site.database.execute(
                        "SELECT side FROM reembed.flag('documents', %s)", [key]
                    ).fetchone()
                    assert row == ("new" if inside else "old",)
        assert chosen == set(KEYS)


def test_a_search_without_a_key_reads_the_old_column_and_a_process_that_overrides_its_own(
    ready_site: Site,
) -> None:
    ready_site.switch(99)
    for override, side in ((None, "old"), (True, "new"), (False, "old")):
        with Retriever(ready_site.with_settings(use_v2_embeddings=override)) as retriever:
            assert side_of(retriever.search(ready_site.database, TEXTS[4], 2)) == side


def test_raising_lowering_and_going_back_are_one_step_each(ready_site: Site) -> None:
    steps = [(5, "ready", 5), (50, "ready", 50), (20, "ready", 20), (100, "switched", 0), (10, "ready", 10)]
    for percent, state, share in steps:
        ready_site.switch(percent)
        current = ready_site.migration
        assert (current.state, current.canary_percent) == (state, share)
        shown = progress.status(ready_site.database, current).canary_percent
        assert shown == (100 if state == "switched" else share)
    flag.rollback(ready_site.database, ready_site.migration)
    assert (ready_site.migration.state, ready_site.migration.canary_percent) == ("ready", 0)
    decided = decisions.of(ready_site.database, current.id)[: len(steps) + 1]
    assert [(one.verb, one.percent) for one in decided] == [
        ("rollback", None),
        *(("switch", percent) for percent, _, _ in reversed(steps)),
    ]
    assert sentence(decided[1]).startswith("switch of 10 % by ")
    assert sentence(decided[2]).startswith("switch by ")


def test_without_a_judgement_that_passed_a_canary_only_shrinks(ready_site: Site) -> None:
    ready_site.switch(10)
    ledger.change_state(ready_site.database, ready_site.migration, "needs_review")
    try:
        with pytest.raises(gate.NotReady):
            ready_site.switch(20)
        ready_site.switch(5)
        assert ready_site.migration.canary_percent == 5
    finally:
        ledger.change_state(ready_site.database, ready_site.migration, "ready")


def test_a_migration_with_a_canary_is_not_aborted(ready_site: Site) -> None:
    ready_site.switch(10)
    with pytest.raises(flag.CanaryOut) as refused:
        flag.abort(ready_site.database, ready_site.migration)
    assert str(refused.value) == (
        f"Migration {ready_site.migration.id} has a canary: 10 % of the keys read the new column, so it cannot be "
        "aborted. `reembed rollback` comes first."
    )
    with pytest.raises(pg.CheckViolation):
        ready_site.database.execute("UPDATE reembed.migrations SET state = 'aborted'")


def test_of_two_who_move_the_flag_one_succeeds(ready_site: Site) -> None:
    seen = ready_site.migration
    ready_site.switch(10)
    with pytest.raises(ledger.WrongState):
        flag.switch(ready_site.database, seen, ready_site.settings, percent=20, force=False)
    assert ready_site.migration.canary_percent == 10


def test_who_listens_hears_of_a_change_when_it_commits_and_not_before(ready_site: Site) -> None:
    with psycopg.connect(ready_site.url, autocommit=True) as listener:
        listener.execute("LISTEN reembed_flag")
        with ready_site.database.transaction(force_rollback=True):
            ready_site.switch(10)
        assert list(listener.notifies(timeout=0.1)) == []
        with ready_site.database.transaction():
            ready_site.switch(10)
            assert list(listener.notifies(timeout=0.1)) == []
        assert [told.payload for told in listener.notifies(timeout=10, stop_after=1)] == ["public.documents"]


def test_a_service_that_listens_follows_the_flag_at_once(
    ready_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BOUND_SECONDS", 3_600)
    with Retriever(ready_site.with_settings(search_background=True)) as retriever:
        remembered = retriever._searching._programs.cache

        def side() -> str:
            return side_of(retriever.search(ready_site.database, TEXTS[4], 2))

        assert side() == "old"
        # Its thread has begun to listen: what was read before that is forgotten once
        waiting.until(lambda: remembered._generation > 0, 20)
        assert side() == "old"
        generation = remembered._generation
        ready_site.switch()
        waiting.until(lambda: remembered._generation > generation, 20)
        assert side() == "new"


def test_a_listener_that_lost_its_connection_opens_another(
    ready_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BOUND_SECONDS", 3_600)
    monkeypatch.setattr(background, "_REOPEN_SECONDS", 0.05)
    ours = "application_name = 'reembed search' AND datname = current_database()"
    with Retriever(ready_site.with_settings(search_background=True)) as retriever:
        remembered = retriever._searching._programs.cache
        retriever.search(ready_site.database, TEXTS[4], 2)
        waiting.until(lambda: remembered._generation == 1, 20)
        ready_site.database.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
        waiting.until(lambda: remembered._generation == 2, 20)
        ready_site.switch()
        waiting.until(lambda: remembered._generation > 2, 20)
        assert side_of(retriever.search(ready_site.database, TEXTS[4], 2)) == "new"


def test_searches_are_counted_and_timed_by_side_without_writing_anything_themselves(
    ready_site: Site,
) -> None:
    before = progress.status(ready_site.database, ready_site.migration).searches
    ready_site.switch(50)
    inside, outside = (key_in(ready_site.migration.id, 50, side) for side in (True, False))
    with Retriever(ready_site.with_settings(search_background=True)) as retriever:
        for key in [inside] * 3 + [outside] * 4:
            retriever.search(ready_site.database, TEXTS[4], key=key)
        meanwhile = progress.status(ready_site.database, ready_site.migration).searches
        assert meanwhile == before
    # Closed: what was counted is added
    after = progress.status(ready_site.database, ready_site.migration).searches
    assert after["new"].searches - before["new"].searches == 3
    assert after["old"].searches - before["old"].searches == 4
    assert after["new"].mean_ms is not None
    assert after["new"].p95_ms is not None
    assert 0 < after["new"].mean_ms <= after["new"].p95_ms * 1.01 + 5_000


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_shadow_compares_both_sides_and_keeps_numbers_alone(
    ready_site: Site, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "reembed")
    settings = ready_site.with_settings(shadow_percent=100.0)
    before = progress.status(ready_site.database, ready_site.migration).shadow
    so_far = before.searches if before else 0
    secret = "secret words of a user " + TEXTS[4]
    expected = installation_overlap(secret, 10)

    def shadowed() -> int:
        report = progress.status(ready_site.database, ready_site.migration).shadow
        return report.searches if report else 0

    if asynchronous:
        import asyncio

        async def search() -> None:
            async with (
                AsyncRetriever(settings) as retriever,
                await psycopg.AsyncConnection.connect(ready_site.url) as connection,
            ):
                await retriever.search(connection, secret)
                await asyncio.to_thread(waiting.until, lambda: shadowed() == so_far + 1, 20)

        asyncio.run(search())
    else:
        with Retriever(settings) as retriever:
            retriever.search(ready_site.database, secret)
            waiting.until(lambda: shadowed() == so_far + 1, 20)
    report = progress.status(ready_site.database, ready_site.migration).shadow
    assert report is not None
    assert report.overlap_mean == pytest.approx(expected, abs=1e-3)
    for (table,) in ready_site.database.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'reembed'"
    ).fetchall():
        rows = ready_site.database.execute(f"SELECT t::text FROM {table} t").fetchall()
        assert not [row for (row,) in rows if "secret" in row]
    assert "secret" not in caplog.text


def installation_overlap(query: str, k: int) -> float:
    """The oracle: exact search by both models."""
    best = []
    for model in (installation.OLD_MODEL, installation.NEW_MODEL):
        vectors = models.embed(model, TEXTS, site.DIMENSIONS)
        scores = vectors @ models.embed(model, [query], site.DIMENSIONS)[0]
        best.append(set(scores.argsort()[::-1][:k].tolist()))
    return len(best[0] & best[1]) / k
