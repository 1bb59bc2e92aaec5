"""Of what kind a reason to wait is: by the sentences that those who wait really write."""

import dataclasses
import re
import uuid
from datetime import UTC, datetime

import pytest

from config.settings import Settings
from orchestrator import progress, reasons, resume
from orchestrator.embedded.process import CHECKOUT
from reembed import errors
from reembed.database import jobs, limits
from reembed.database.building import Progress
from reembed.embedding.jobs import Job
from tests.unit.test_progress import NOTHING
from workers import budget, governor, quota, sides
from workers.governor import Load
from workers.jobs import waiting

BUDGET = limits.BudgetReached(budget="12.50", spent="12.49", next="0.10")
KEY = errors.ProviderRefusedKey(
    base_url="http://x/v1", reason="no more at the provider, over GOVERN_ with --until 9"
)
SLOW = errors.ProviderOverloaded(reason="slow down (status 429)")
AWAY = errors.ProviderUnavailable(reason="no answer in time")


def held(load: Load) -> str:
    reason = governor.over(load, Load(1.0, 1, 1.0), held=False)
    assert reason is not None
    return reason


def job() -> str:
    there = jobs.Open(1, uuid.uuid4(), "batch_1", texts=9, reserved=0, created_at=datetime.now(UTC))
    found = Job("batch_1", "in_progress", texts=9, answered=3, question="", answers=[], fault=None)
    return waiting.answered(there, found)


@pytest.mark.parametrize(
    ("state", "waiting_for", "kind"),
    [
        ("backfilling", None, None),
        ("backfilling", held(Load(replication_lag_seconds=9)), "governor"),
        ("backfilling", held(Load(active_sessions=9)), "governor"),
        ("backfilling", held(Load(write_milliseconds=9)), "governor"),
        ("backfilling", f"{quota.WAITING}; trying again in 8 s", "quota"),
        ("backfilling", str(errors.Transient(reason=quota.WAITING)), "quota"),
        ("backfilling", f"{str(SLOW).rstrip('.')}; trying again in 8 s", "provider"),
        ("backfilling", str(AWAY), "provider"),
        ("backfilling", f"{budget.WAITING}; trying again in 0 s", "limit"),
        ("backfilling", job(), "job"),
        ("backfilling", waiting.NO_PLACE.format(jobs=20), "job"),
        ("backfilling", str(waiting.until_the_next_look(Settings.model_construct(), waiting.ENOUGH)), "job"),
        ("switched", str(BUDGET), "limit"),
        ("switched", sides.OLD_MODEL_AWAY.format(error=KEY), "fault"),
        ("backfilling", str(quota.QuotaUnreadable(reason="ConnectionError")), "fault"),
        ("backfilling", "the database: DiskFull: No space left on device", "fault"),
        ("failed", "the index could not be built; `reembed retry` lets it go on", "fault"),
    ],
)  # fmt: skip
def test_a_reason_is_of_the_kind_of_who_wrote_it(
    state: str, waiting_for: str | None, kind: reasons.Kind | None
) -> None:
    assert reasons.kind(state, waiting_for) == kind


@pytest.mark.parametrize(
    ("state", "reason", "counts", "kind"),
    [
        ("paused", resume.BY_OPERATOR, {}, "operator"),
        ("paused", str(BUDGET), {}, "limit"),
        ("paused", limits.FAR_ENOUGH.format(embedded=1_200, documents=12_000, percent=10), {}, "limit"),
        # Whatever a provider says
        ("paused", str(KEY), {}, "fault"),
        ("paused", held(Load(active_sessions=9)), {}, "fault"),
        ("validating", None, {}, "work"),
        ("cleaning", None, {}, "work"),
        ("indexing", None, {}, "work"),
        ("backfilling", None, {"pending": 3, "published": 3, "idle_seconds": 12.4}, "nobody"),
        ("backfilling", None, {"done": 3, "idle_seconds": 30.0}, "nobody"),
        ("validating", None, {"running": 1, "idle_seconds": 30.0}, "nobody"),
    ],
)
def test_what_status_says_has_a_kind(
    state: str, reason: str | None, counts: dict[str, float], kind: reasons.Kind
) -> None:
    told = dataclasses.replace(NOTHING, **counts)  # type: ignore[arg-type]  # by name
    assert reasons.kind(state, progress.waiting_for(state, reason, told)) == kind


def test_an_index_is_work_in_each_of_its_phases() -> None:
    built = Progress(index="i", phase="loading tuples", percent=42.0, held_up_by=None)
    for state in ("indexing", "cleaning"):
        assert reasons.kind(state, progress.waiting_for(state, None, NOTHING, built)) == "work"


def test_the_kinds_that_are_documented_are_those() -> None:
    operations = (CHECKOUT / "docs" / "operations.md").read_text()
    table = operations.split("## Nothing moves")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*`) \| (\w+) \|", table, re.MULTILINE)
    assert {kind for _, kind in rows} == set(reasons.KINDS)
    for sentences, kind in rows:
        for says in re.findall(r"`([^`]+)`", sentences):
            state = "paused" if kind == "operator" or "--until 10" in says else "backfilling"
            assert reasons.kind(state, says) == kind, says
