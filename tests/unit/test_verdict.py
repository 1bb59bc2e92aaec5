"""A judgement in numbers and in words."""

import dataclasses

import pytest

from orchestrator.validation import sentences
from orchestrator.validation.identity import Identity
from orchestrator.validation.overlap import Overlap
from orchestrator.validation.verdict import Verdict
from reembed.database.documents import Census

SOUND = Verdict(
    mode="documents",
    k=10,
    floor=0.1,
    census=Census(documents=1_000, without_text=10, pending=0, embedded=990, stale=0, invalid=0),
    overlap=Overlap(400, 0.41, 0.38, 0.44, 0.6, (("7", 0.0), ("9", 0.5))),
    identity=Identity(tested=400, found=390, low=0.95, high=0.99, lost=0, failing_ids=("3",)),
)


def test_integrity_decides_and_a_low_overlap_does_not() -> None:
    assert (SOUND.passed, SOUND.state, SOUND.faults) == (True, "ready", [])


@pytest.mark.parametrize(
    ("census", "fault"),
    [
        (
            {"pending": 1_500},
            "1,500 documents have no fresh vector: `reembed status` shows why, then `reembed validate`",
        ),
        (
            {"stale": 2},
            "2 vectors are of an older text: `reembed retry` has them made anew, then `reembed validate`",
        ),
        (
            {"invalid": 3},
            "3 vectors are missing or zero though a model is named beside them: "
            "`reembed retry` has them made anew, then `reembed validate`",
        ),
    ],
)
def test_every_row_counts(census: dict[str, int], fault: str) -> None:
    verdict = dataclasses.replace(SOUND, census=dataclasses.replace(SOUND.census, **census))
    assert (verdict.passed, verdict.state, verdict.faults) == (False, "needs_review", [fault])


def test_lost_documents_and_an_overlap_under_the_floor_do_not_pass() -> None:
    verdict = dataclasses.replace(
        SOUND,
        identity=Identity(tested=400, found=4, low=0.0, high=0.03, lost=198, failing_ids=()),
        overlap=Overlap(400, 0.02, 0.01, 0.03, 0.6, ()),
    )
    assert verdict.faults == [
        "of 400 tested documents, 198 have a new vector that is nowhere near what their old one says: "
        "`reembed validate --json` lists them; compare a few by hand",
        "the mean overlap 0.020 is under the alarm floor 0.1: the new column may be shifted or mixed up",
    ]


def test_a_table_too_small_to_say_anything_passes_and_says_so() -> None:
    small = dataclasses.replace(SOUND, identity=Identity(0, 0, 0.0, 1.0, 0, ()), overlap=None)
    lines = list(sentences.lines(small))
    assert small.passed
    assert "identity    not tested: too few documents to say anything" in lines
    assert "overlap     not measured: no document has both vectors" in lines


def test_the_json_has_every_key_that_was_promised() -> None:
    report = SOUND.as_json()
    promised = {
        "mode", "queries", "k", "overlap_mean", "overlap_ci95", "low_overlap", "threshold", "missing", "stale",
        "invalid_vectors", "identity", "verdict", "passed",
    }  # fmt: skip
    assert promised <= set(report)
    assert {"tested", "found", "ci95"} <= set(report["identity"])
    assert report["low_overlap"] == [{"id": "7", "overlap": 0.0}, {"id": "9", "overlap": 0.5}]
    assert report["verdict"] == "not_judged"


def test_the_words_say_what_the_numbers_are() -> None:
    lines = list(sentences.lines(SOUND))
    assert lines[0] == (
        "integrity   1,000 documents: 990 embedded, 0 missing, 0 stale, 0 invalid, 10 without text"
    )
    assert lines[1] == "identity    390 of 400 tested documents have their own vector (95 to 99 %)"
    assert lines[2] == "overlap@10  0.410 (95 % between 0.380 and 0.440; 400 documents as queries)"
    assert lines[-1] == "PASSED"
