"""The parts of the chaos run that decide: what goes wrong and when, and what the oracle and the report say of it."""

from collections import Counter

import pytest

from tests.chaos import faults, oracle, provider_faults, report, schedule
from tests.chaos.application import Memory


def test_the_same_seed_draws_the_same_faults_and_another_seed_draws_others() -> None:
    def drawn(seed: int) -> list[tuple[float, str, float]]:
        return [(event.at, event.kind, event.chance.random()) for event in schedule.draw(seed, 300)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_in_ten_minutes_every_kind_happens_and_every_kind_can_be_brought_about() -> None:
    kinds = Counter(event.kind for event in schedule.draw(3, 600))
    assert set(kinds) == set(schedule.KINDS)
    known = {
        *faults.FAULTS,
        *provider_faults.STATUS,
        *provider_faults.SPOILT,
        *provider_faults.PATIENCE,
        *provider_faults.OTHERS,
    }
    assert known == set(schedule.KINDS)


def test_a_write_of_unknown_outcome_may_have_happened_or_not_and_nothing_else() -> None:
    memory = Memory({7: "first"})
    memory.wrote({7: "second"})
    memory.may_have_written({7: "third"})
    assert memory.unknown == {7: {"second", "third"}}
    assert memory.earlier[7] == {"first", "second", "third"}


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ({}, None),
        ({"new": ("lost", 1)}, "new column: 1 documents lost"),
        ({"cleaned": ("stale", 2)}, "cleaned column: 2 documents stale"),
        ({"repeated": 101}, "101 texts embedded again, and only 100 were in flight"),
        (
            {"longest_idle": 0.3, "idle_whose": "reembed worker, after: BEGIN"},
            "a session was idle in transaction for 0.30 s: reembed worker, after: BEGIN",
        ),
        ({"unsettled": "paused"}, "the migration did not come to rest: paused"),
    ],
)
def test_a_run_fails_for_each_broken_promise(change: dict[str, object], failure: str | None) -> None:
    whole: dict[str, object] = {
        "seed": 1, "seconds": 60.0, "workers": 4, "faults": Counter(["worker killed"]), "typed": Counter(),
        "states": {},
        "memories": [Memory({}, seconds=[0.002, 0.004])], "new": oracle.Findings(), "old": oracle.Findings(),
        "cleaned": oracle.Findings(), "embedded": 1_000, "repeated": 100, "in_flight": 100, "longest_idle": 0.01,
        "idle_whose": "", "unsettled": None,
    }  # fmt: skip
    for name, value in change.items():
        if isinstance(value, tuple):
            kind, count = value
            whole[name] = oracle.Findings(counts=Counter({kind: count}))
        else:
            whole[name] = value
    found = report.Report(**whole)  # type: ignore[arg-type]
    assert found.failures == ([failure] if failure else [])
    assert found.passed == (failure is None)
    assert "| embedded, of these more than once |" in found.table()
