"""A judgement in numbers and in words."""

import dataclasses
import json

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
UNTESTED = Identity(tested=0, found=0, low=0.0, high=1.0, lost=0, failing_ids=())
SHUFFLED = Identity(tested=1_400, found=4, low=0.0, high=0.03, lost=1_198, failing_ids=("8", "2"))
# A table with fewer documents than the identity check needs
SMALL = dataclasses.replace(SOUND, identity=UNTESTED)
# Not one document with both vectors
APART = dataclasses.replace(SOUND, identity=UNTESTED, overlap=None)


def with_census(**counts: int) -> Verdict:
    return dataclasses.replace(SOUND, census=dataclasses.replace(SOUND.census, **counts))


def with_overlap(mean: float, floor: float = 0.1) -> Verdict:
    return dataclasses.replace(SOUND, floor=floor, overlap=Overlap(400, mean, 0.01, 0.03, 0.6, ()))


MISSING = "1,500 documents have no fresh vector: `reembed status` shows why, then `reembed validate`"
STALE = "2 vectors are of an older text: `reembed retry` has them made anew, then `reembed validate`"
INVALID = (
    "3 vectors are missing or zero though a model is named beside them: "
    "`reembed retry` has them made anew, then `reembed validate`"
)
LOST = (
    "of 1,400 tested documents, 1,198 have a new vector that is nowhere near what their old one says: "
    "`reembed validate --json` lists them; compare a few by hand"
)
ALARM = "the mean overlap 0.020 is under the alarm floor 0.1: the new column may be shifted or mixed up"


@pytest.mark.parametrize(
    ("verdict", "faults"),
    [
        # Two queries far under 0.6 are no fault: the best upgrade loses some
        (SOUND, []),
        (SMALL, []),
        (APART, []),
        (with_census(pending=1_500), [MISSING]),
        (with_census(stale=2), [STALE]),
        (with_census(invalid=3), [INVALID]),
        (dataclasses.replace(SOUND, identity=SHUFFLED), [LOST]),
        (with_overlap(0.02), [ALARM]),
        # The floor itself is not under the floor
        (with_overlap(0.1), []),
        (with_overlap(0.0999), [ALARM.replace("0.020", "0.100")]),
        (with_overlap(0.0, floor=0.0), []),
        # All there is to say is said, in one order
        (
            dataclasses.replace(
                with_census(pending=1_500, stale=2, invalid=3),
                identity=SHUFFLED,
                overlap=with_overlap(0.02).overlap,
            ),
            [MISSING, STALE, INVALID, LOST, ALARM],
        ),
    ],
)
def test_integrity_decides_and_an_overlap_only_as_an_alarm(verdict: Verdict, faults: list[str]) -> None:
    assert verdict.faults == faults
    assert verdict.passed is (not faults)
    assert verdict.state == ("needs_review" if faults else "ready")


@pytest.mark.parametrize(("lost", "holds"), [(0, True), (1, True), (23, True), (24, False), (400, False)])
def test_a_few_documents_that_are_hard_to_tell_are_no_fault(lost: int, holds: bool) -> None:
    # Of 400: the lower bound of their share is above 4 % from 24 on
    identity = dataclasses.replace(SOUND.identity, lost=lost)
    assert dataclasses.replace(SOUND, identity=identity).passed is holds


def test_the_json_is_as_promised() -> None:
    assert dataclasses.replace(SOUND, notes=("a note",)).as_json() == {
        "mode": "documents",
        "documents": 1_000,
        "without_text": 10,
        "queries": 400,
        "k": 10,
        "overlap_mean": 0.41,
        "overlap_ci95": [0.38, 0.44],
        "low_overlap": [{"id": "7", "overlap": 0.0}, {"id": "9", "overlap": 0.5}],
        "threshold": 0.6,
        "missing": 0,
        "stale": 0,
        "invalid_vectors": 0,
        "identity": {"tested": 400, "found": 390, "ci95": [0.95, 0.99], "lost": 0, "failing_ids": ["3"]},
        "verdict": "not_judged",
        "faults": [],
        "notes": ["a note"],
        "passed": True,
    }


@pytest.mark.parametrize("verdict", [SOUND, APART, with_census(pending=5, stale=6, invalid=7)])
def test_the_json_has_every_key_that_was_promised_whatever_was_measured(verdict: Verdict) -> None:
    report = json.loads(json.dumps(verdict.as_json()))
    promised = {
        "mode", "queries", "k", "overlap_mean", "overlap_ci95", "low_overlap", "threshold", "missing", "stale",
        "invalid_vectors", "identity", "verdict", "passed",
    }  # fmt: skip
    assert promised <= set(report)
    assert {"tested", "found", "ci95"} <= set(report["identity"])
    assert report["passed"] is verdict.passed
    assert report["faults"] == verdict.faults


def test_what_was_not_measured_is_null_in_the_json_and_not_zero() -> None:
    report = APART.as_json()
    assert (report["overlap_mean"], report["overlap_ci95"], report["threshold"]) == (None, None, None)
    assert (report["queries"], report["low_overlap"]) == (0, [])


def test_each_count_has_its_own_name_in_the_json() -> None:
    report = with_census(pending=5, stale=6, invalid=7).as_json()
    assert (report["missing"], report["stale"], report["invalid_vectors"]) == (5, 6, 7)


RULER = [
    "            a description, not a verdict; for comparison:",
    "              1.00          same model, half precision (halfvec)",
    "              0.99          same model, int8",
    "              0.94          same model, noise of 10 %",
    "              0.77 to 0.82  same model, 256 of 384 dimensions",
    "              0.30 to 0.48  another trained model, sound",
    "              0.09 to 0.27  from hashed words or n-grams to a trained model, sound",
    "              0.00 to 0.06  vectors of the neighbouring rows: broken",
]
INTEGRITY = "integrity   1,000 documents: 990 embedded, 0 missing, 0 stale, 0 invalid, 10 without text"
IDENTITY = "identity    390 of 400 tested documents have their own vector (95% to 99%)"
OVERLAP = "overlap@10  0.410 (95 % between 0.380 and 0.440; 400 documents as queries)"
QUALITY = "quality     not judged: that needs judgements of relevance"


def test_a_passed_judgement_in_words() -> None:
    assert list(sentences.lines(SOUND)) == [
        INTEGRITY,
        IDENTITY,
        OVERLAP,
        *RULER,
        "            2 under 0.6, the worst first:",
        "              0.0  document 7",
        "              0.5  document 9",
        QUALITY,
        "PASSED",
    ]


def test_a_judgement_that_did_not_pass_says_each_reason_before_the_verdict() -> None:
    verdict = dataclasses.replace(
        with_census(documents=1_236_077, embedded=1_234_567, pending=1_500, stale=2, invalid=3),
        identity=SHUFFLED,
    )
    lines = list(sentences.lines(verdict))
    assert lines[:2] == [
        "integrity   1,236,077 documents: 1,234,567 embedded, 1,500 missing, 2 stale, 3 invalid, 10 without text",
        "identity    4 of 1,400 tested documents have their own vector (0% to 3%)",
    ]
    assert lines[-6:] == [
        QUALITY,
        f"FAULT       {MISSING}",
        f"FAULT       {STALE}",
        f"FAULT       {INVALID}",
        f"FAULT       {LOST}",
        "NOT PASSED",
    ]


def test_a_table_too_small_to_say_anything_about_identity_passes_and_says_so() -> None:
    lines = list(sentences.lines(SMALL))
    assert lines[:3] == [
        INTEGRITY,
        "identity    not tested: too few documents to say anything",
        OVERLAP,
    ]
    assert lines[-1] == "PASSED"


def test_columns_without_a_document_in_common_are_not_compared_and_no_ruler_is_shown() -> None:
    assert list(sentences.lines(APART)) == [
        INTEGRITY,
        "identity    not tested: too few documents to say anything",
        "overlap     not measured: no document has both vectors",
        QUALITY,
        "PASSED",
    ]


def test_real_queries_are_called_queries_and_named_by_their_line() -> None:
    verdict = dataclasses.replace(
        SOUND, mode="queries", k=5, overlap=Overlap(1_200, 0.5, 0.4, 0.6, 0.6, (("12", 0.2),))
    )
    lines = list(sentences.lines(verdict))
    assert lines[2] == "overlap@5   0.500 (95 % between 0.400 and 0.600; 1,200 queries)"
    assert lines[-4:-2] == [
        "            1 under 0.6, the worst first:",
        "              0.2  line 12",
    ]


@pytest.mark.parametrize(("count", "rest"), [(10, []), (11, ["1"]), (1_510, ["1,500"])])
def test_ten_of_the_worst_are_listed_and_the_rest_is_counted(count: int, rest: list[str]) -> None:
    under = tuple((str(number), 0.1) for number in range(count))
    verdict = dataclasses.replace(SOUND, overlap=Overlap(2_000, 0.41, 0.38, 0.44, 0.6, under))
    lines = list(sentences.lines(verdict))
    assert [line for line in lines if "  document " in line] == [
        f"              0.1  document {number}" for number in range(10)
    ]
    assert [line for line in lines if "more in" in line] == [
        f"              ... and {left} more in `reembed validate --json`" for left in rest
    ]


def test_notes_stand_before_the_verdict() -> None:
    lines = list(sentences.lines(dataclasses.replace(SOUND, notes=("the old model does not answer",))))
    assert lines[-2:] == ["note        the old model does not answer", "PASSED"]
