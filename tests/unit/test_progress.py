"""What `status` says, above all why nothing moves."""

import dataclasses
import datetime

import pytest

from orchestrator import progress
from orchestrator.command import status as command
from orchestrator.prices import Price, Prices
from reembed.database.building import Progress
from reembed.database.chunks import Counts
from reembed.database.searches import ShadowReport, SideReport

NOTHING = Counts(
    pending=0, running=0, held=0, done=0, failed=0, given_up=0, published=0, due=0, documents=0, remaining=0,
    embedded=0, tokens=0, seconds=0.0, idle_seconds=None, waiting_for=None, error=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("state", "reason", "counts", "expected"),
    [
        ("planned", None, {}, None),
        (
            "backfilling",
            None,
            {"running": 1, "held": 1, "pending": 3, "published": 3, "idle_seconds": 60.0},
            None,
        ),
        ("backfilling", None, {"pending": 3, "published": 3, "idle_seconds": 1.0}, None),
        (
            "backfilling",
            None,
            {"pending": 3, "published": 3, "idle_seconds": 12.4},
            "no worker has taken a chunk for 12 s; start one with "
            "`celery -A config.celery_app worker -Q reembed.embed`",
        ),
        (
            "backfilling",
            None,
            {"done": 3, "idle_seconds": 30.0},
            "every chunk is done, and nobody goes on for 30 s; start "
            "`celery -A config.celery_app worker -Q reembed.control` and `celery -A config.celery_app beat`",
        ),
        (
            "backfilling",
            None,
            {"running": 1, "waiting_for": "429; trying again in 8 s"},
            "429; trying again in 8 s",
        ),
        ("backfilling", None, {"running": 1, "failed": 1, "error": "it broke"}, "it broke"),
        (
            "backfilling",
            None,
            {"pending": 3, "due": 3, "idle_seconds": 30.0},
            "chunks wait to be published, and nobody goes on for 30 s; start "
            "`celery -A config.celery_app worker -Q reembed.control` and `celery -A config.celery_app beat`",
        ),
        (
            "backfilling",
            None,
            {"running": 1, "held": 0, "idle_seconds": 30.0},
            "chunks wait to be published, and nobody goes on for 30 s; start "
            "`celery -A config.celery_app worker -Q reembed.control` and `celery -A config.celery_app beat`",
        ),
        ("backfilling", None, {"pending": 3, "due": 0, "idle_seconds": 30.0, "waiting_for": "503"}, "503"),
        (
            "paused",
            "the key is wrong.",
            {"waiting_for": "something else"},
            "the key is wrong; `reembed resume` continues",
        ),
        ("failed", "chunks failed", {}, "chunks failed; `reembed retry` lets it go on"),
        ("indexing", None, {"done": 3, "idle_seconds": 900.0}, "the index"),
        ("validating", None, {"done": 3, "idle_seconds": 900.0}, "the judgement"),
        ("switched", "the key is wrong", {"done": 3, "idle_seconds": 900.0}, "the key is wrong"),
        ("cleaned", None, {"done": 3, "idle_seconds": 900.0}, None),
    ],
)
def test_every_wait_has_a_reason_that_a_person_can_read(
    state: str, reason: str | None, counts: dict[str, object], expected: str | None
) -> None:
    assert progress.waiting_for(state, reason, dataclasses.replace(NOTHING, **counts)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (None, "the index"),
        (Progress("i", "initializing", None, None), "the index: initializing"),
        (Progress("i", "loading tuples", 42.97, None), "the index: loading tuples, 42 %"),
        (
            Progress("i", "waiting for old snapshots", None, 4711),
            "the index: waiting for old snapshots (process 4711)",
        ),
    ],
)
def test_the_index_says_how_far_it_is(index: Progress | None, expected: str) -> None:
    assert progress.waiting_for("indexing", None, NOTHING, index) == expected


def status(**fields: object) -> progress.Status:
    whole: dict[str, object] = {
        "migration": 3, "table": "public.documents", "model": "new (768)", "state": "backfilling", "documents": 10_000,
        "embedded": 2_500, "pending": 7_499, "failed": 1, "without_text": 0, "overlong": 0, "chunks": {},
        "lag_seconds": None, "old_hidden": 0, "old_stale": 0, "tokens": 0,
        "cost_usd": None, "price_as_of": None, "budget_usd": None, "until_percent": None,
        "documents_per_second": 125.0, "eta_seconds": 60.0, "waiting_for": None, "index_progress": None,
        "jobs": 0, "job_texts": 0,
            "active_column": "embedding", "canary_percent": 0, "searches": {}, "shadow": None, "last_decision": None,
    }  # fmt: skip
    return progress.Status(**(whole | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {},
            "migration 3 of public.documents to new (768): backfilling, 2,500 of 10,000 documents (25 %), "
            "125 a second, 60 s left, 1 refused",
        ),
        (
            {"waiting_for": "the quota", "failed": 0, "eta_seconds": None, "documents_per_second": None},
            "migration 3 of public.documents to new (768): backfilling, 2,500 of 10,000 documents (25 %), "
            "waiting: the quota",
        ),
        (
            {"embedded": 9_999, "pending": 1, "failed": 0, "documents_per_second": 0.4, "eta_seconds": None},
            "migration 3 of public.documents to new (768): backfilling, 9,999 of 10,000 documents (99 %), "
            "0.4 a second",
        ),
        (
            {
                "state": "switched",
                "pending": 7,
                "lag_seconds": 12.0,
                "old_hidden": 2,
                "failed": 0,
                "eta_seconds": None,
            },
            "migration 3 of public.documents to new (768): switched, 2,500 of 10,000 documents (25 %), "
            "7 pending for 12 s at most, 2 hidden by a rollback",
        ),
        (
            {"state": "ready", "embedded": 10_000, "failed": 0, "eta_seconds": None},
            "migration 3 of public.documents to new (768): ready, 10,000 of 10,000 documents (100 %)",
        ),
    ],
)
def test_progress_is_a_sentence(fields: dict[str, object], sentence: str) -> None:
    assert status(**fields).sentence() == sentence


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (91, "2 min"),
        (5_399, "1 h 30 min"),
        (7_260, "2 h 1 min"),
        (2_595_600, "30 d 1 h"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(seconds: float, words: str) -> None:
    assert progress.duration(seconds) == words


def test_a_canary_is_shown_with_both_its_sides_and_the_shadow() -> None:
    shown = command._table(
        status(
            state="ready",
            canary_percent=5,
            searches={"old": SideReport(1_900, 3.14, 5.66), "new": SideReport(100, 4.0, 8.0)},
            shadow=ShadowReport(40, 10, 0.41, (0.35, 0.47)),
        )
    )
    assert "searches    read embedding; 5 % of the keys read the new column\n" in shown
    assert "old side    1,900 searches, 3.1 ms on average, 95 % within 5.7 ms\n" in shown
    assert "new side    100 searches, 4.0 ms on average, 95 % within 8.0 ms\n" in shown
    assert "shadow      40 searches on both sides, overlap@10 0.41 (0.35 to 0.47)" in shown


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "-"),
        ({"tokens": 145_748}, "145,748 tokens, price unknown: set EMBED_PRICE_PER_MILLION_TOKENS"),
        (
            {"tokens": 145_748, "budget_usd": 12.5},
            "145,748 tokens, price unknown: set EMBED_PRICE_PER_MILLION_TOKENS; pauses before 12.50 USD",
        ),
        (
            {"cost_usd": 1.234, "price_as_of": datetime.date(2026, 11, 1)},
            "1.23 USD, list price of 2026-11-01",
        ),
        ({"cost_usd": 0.0, "budget_usd": 12.5}, "0.00 USD; pauses before 12.50 USD"),
    ],
)
def test_a_cost_is_shown_with_the_date_of_its_price_and_the_budget(
    fields: dict[str, object], shown: str
) -> None:
    assert f"cost        {shown}\n" in command._table(status(**fields))


def test_an_aborted_migration_has_nothing_embedded_and_nothing_that_anybody_waits_for() -> None:
    aborted = status(state="aborted", documents=1_500, embedded=0, pending=1_500, failed=0, eta_seconds=None)
    assert "documents   1,500: none has a new vector, the new column is gone\n" in command._table(aborted)
    assert aborted.sentence() == (
        "migration 3 of public.documents to new (768): aborted, 0 of 1,500 documents (0 %)"
    )


def test_where_the_old_models_price_is_what_is_missing_nobody_is_sent_to_set_the_new_ones() -> None:
    known = Prices(new=Price(0.13, None), old=None)
    shown = command._table(status(tokens=145_748), known)
    assert "cost        145,748 tokens, price unknown: the old model's is in no list\n" in shown


def test_a_share_to_look_at_is_shown() -> None:
    assert "until       12.5 % of the documents" in command._table(status(until_percent=12.5))


def test_a_reason_that_says_what_to_type_gets_no_second_advice() -> None:
    reason = "no room; `reembed resume --budget USD` raises it"
    assert progress.waiting_for("paused", reason, NOTHING) == reason
