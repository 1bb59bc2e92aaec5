"""The doctor, as far as it needs no server: ids, words, arithmetic."""

import ast
import re
from unittest.mock import MagicMock

import numpy as np
import pytest

from orchestrator import checks
from orchestrator.command import plan
from orchestrator.doctor import clocks, finding, forecast, provider, refusals
from orchestrator.doctor.finding import Finding
from orchestrator.doctor.roll_call import Clock, Present
from orchestrator.embedded.process import CHECKOUT
from reembed import errors
from reembed.embedding.wire import Embedded
from tests.unit.test_errors import every_error

# What `start` looks through before anything is written; and what a provider may answer it
LOOKED_THROUGH = {
    "orchestrator.checks",
    "reembed.database.catalog",
    "reembed.database.connection",
    "reembed.database.distances",
    "reembed.database.fitness",
    "reembed.database.table",
}
# Put together from a name and what is the matter
COMPOSED = {
    *(f"{process}.{state}" for process in ("worker", "control", "beat") for state in ("none", "alive")),
    "clock.database",
    "clock.backend",
}


def test_whatever_start_may_refuse_has_an_id_of_its_own() -> None:
    refused = {error for error in every_error(errors.Usage) if error.__module__ in LOOKED_THROUGH}
    provider = {error for base in (errors.Broken, errors.Transient) for error in every_error(base)}
    answers = {error for error in provider if error.__module__ == errors.__name__} - {
        errors.Broken,
        errors.Transient,
    }
    assert refused | answers <= set(refusals.IDS)
    assert len(set(refusals.IDS.values())) == len(refusals.IDS)


def test_every_finding_is_documented_and_no_other() -> None:
    made = set(refusals.IDS.values()) | COMPOSED
    for path in (CHECKOUT / "orchestrator/doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                name = node.args[0]
                made |= {str(name.value)} if isinstance(name, ast.Constant) else set()
    documented = re.findall(r"^\| `(\w+\.\w+)` \|", (CHECKOUT / "docs/commands.md").read_text(), re.MULTILINE)
    assert set(documented) == made
    assert len(documented) == len(made)


def test_an_error_becomes_a_finding_by_its_two_halves() -> None:
    assert refusals.finding(checks.NoDocuments(table="documents")) == Finding(
        "table.empty",
        "error",
        "The table documents is empty: there is nothing to embed.",
        "Set DOCUMENTS_TABLE to the table that the service searches.",
    )


def test_an_error_without_advice_gets_some_and_an_unknown_one_an_id() -> None:
    assert refusals.finding(errors.ProviderOverloaded(reason="slow down")).hint
    assert refusals.finding(errors.LeaseLost(chunk=1, migration=1)).id == "start.lease_lost"


def test_the_worst_comes_first() -> None:
    severities: tuple[finding.Severity, ...] = ("info", "error", "warning", "error")
    found = [Finding(str(number), severity, "", "") for number, severity in enumerate(severities)]
    assert [one.id for one in finding.ordered(found)] == ["1", "3", "2", "0"]
    assert finding.count(found, "error") == 2


def test_plan_shows_what_wants_something_to_be_done() -> None:
    findings = [Finding("a.b", "warning", "It is so.", "Mend it."), Finding("c.d", "info", "It is.", "")]
    assert list(plan._findings(findings)) == [
        "",
        "found without asking the provider, which `reembed doctor` does:",
        "warning  a.b: It is so.",
        "         Mend it.",
    ]
    assert list(plan._findings(findings[1:])) == []


@pytest.mark.parametrize(
    ("before", "theirs", "after", "ahead"),
    [
        (10.0, 10.5, 11.0, 0.0),
        (10.0, 13.0, 11.0, 2.0),
        (10.0, 7.0, 11.0, -3.0),
        # A slow answer proves nothing
        (10.0, 39.0, 40.0, 0.0),
    ],
)
def test_only_what_is_certain_of_a_clock_counts(
    before: float, theirs: float, after: float, ahead: float
) -> None:
    assert clocks.skew(before, theirs, after) == ahead


@pytest.mark.parametrize(
    ("beat", "control", "ahead"),
    [
        # Asked, theirs, answered
        ((10.0, 10.1, 10.2), (10.0, 10.1, 10.2), 0.0),
        ((10.0, 50.5, 10.5), (10.0, 10.5, 10.5), 39.5),
        ((10.0, 0.5, 10.5), (10.0, 40.5, 10.5), -39.5),
        # Both differ from ours by the same
        ((10.0, 110.5, 11.0), (10.0, 110.5, 11.0), 0.0),
        ((10.0, 15.0, 15.0), (10.0, 10.0, 10.5), 0.0),
    ],
)
def test_only_what_is_certain_of_two_clocks_counts(
    beat: tuple[float, float, float], control: tuple[float, float, float], ahead: float
) -> None:
    assert clocks.between(Clock(*beat), Clock(*control)) == ahead
    assert clocks.between(Clock(*control), Clock(*beat)) == -ahead


def test_of_several_beats_and_control_workers_the_two_that_differ_most_are_named() -> None:
    present = Present(
        workers=("embed@a",),
        controls=("control@a", "control@b"),
        # One that is older than the question
        beats=("celerybeat@a", "celerybeat@b", "celerybeat@c"),
        clocks={
            "embed@a": Clock(0, 9_000, 1),
            "control@a": Clock(0, 0.5, 1),
            "control@b": Clock(0, 30.5, 1),
            "celerybeat@a": Clock(0, 10.5, 1),
            "celerybeat@b": Clock(0, -29.5, 1),
        },
    )
    (seen,) = clocks.schedule(present)
    assert (seen.id, seen.severity) == ("clock.schedule", "warning")
    assert seen.what == "The clock of beat (celerybeat@b) is 59 s behind the control worker's (control@b)."


@pytest.mark.parametrize(
    ("dimensions", "method", "index"),
    # Per document, as measured: 576, 4,099, 8,195 and, by half precision, 8,195 bytes
    [
        (64, "hnsw", 585),
        (768, "hnsw", 4_096),
        (1_536, "hnsw", 8_192),
        (3_072, "hnsw", 8_192),
        (768, "none", 0),
    ],
)
def test_no_element_of_an_index_crosses_a_page(dimensions: int, method: str, index: int) -> None:
    expected = forecast.forecast(1_000, 830, dimensions, companion=False, method=method, m=16)
    assert expected.index == 1_000 * index


def test_a_companion_writes_no_document_again() -> None:
    column, companion = (
        forecast.forecast(1_000_000, 830, 768, companion=companion, method="none", m=16)
        for companion in (False, True)
    )
    assert companion.versions == 0
    assert column.versions == 970_000_000
    # As measured: 5,063 and 4,273 bytes of disk a document, 5,332 and 3,592 of log
    assert (column.disk, companion.disk) == pytest.approx((5_063e6, 4_273e6), rel=0.05)
    assert (column.log, companion.log) == pytest.approx((5_332e6, 3_592e6), rel=0.1)


@pytest.mark.parametrize(
    ("metric", "found"), [("ip", {"provider.answers", "provider.norm"}), ("cosine", {"provider.answers"})]
)
def test_long_vectors_matter_to_the_inner_product_alone(
    monkeypatch: pytest.MonkeyPatch, metric: str, found: set[str]
) -> None:
    answer = Embedded(np.array([[3, 4]], np.float32), 1)
    monkeypatch.setattr(checks, "provider", lambda settings: answer)
    settings = MagicMock(
        index_metric=metric, embed_dimensions=2, embed_requests_per_minute=0, embed_tokens_per_minute=0
    )
    assert {one.id for one in provider.look(settings)} == found
