"""A judgement in numbers and in words."""

import dataclasses

import pytest

from orchestrator.validation import sentences
from orchestrator.validation.again import Again
from orchestrator.validation.identity import Identity
from orchestrator.validation.integrity import Integrity
from orchestrator.validation.overlap import Overlap
from orchestrator.validation.verdict import Verdict
from reembed.database.documents import Census

SOUND = Verdict(
    mode="documents",
    k=10,
    floor=0.1,
    integrity=Integrity(
        census=Census(documents=1_000, without_text=10, pending=0, embedded=990, stale=0, invalid=0),
        dead_dimensions=0,
        dimensions=256,
        copied=0,
        shared=0,
        sampled=1_000,
        norm_mean=1.0,
        norm_deviation=0.01,
        tolerable=100,
    ),
    again=Again(tested=32, differing=(), lowest=0.9999),
    overlap=Overlap(400, 0.41, 0.38, 0.44, 0.6, (1,) * 10, (("7", 0.0), ("9", 0.5))),
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
    whole = dataclasses.replace(SOUND.integrity, census=dataclasses.replace(SOUND.census, **census))
    verdict = dataclasses.replace(SOUND, integrity=whole)
    assert (verdict.passed, verdict.state, verdict.faults) == (False, "needs_review", [fault])


@pytest.mark.parametrize(
    ("seen", "finding", "severity"),
    [
        ({"dead_dimensions": 128}, "dead_dimensions", "fault"),
        ({"dead_dimensions": 3}, "dead_dimensions", "warning"),
        # Too few documents to fill the dimensions of a hashed model
        ({"dead_dimensions": 2_000, "dimensions": 3_072}, "dead_dimensions", "warning"),
        ({"copied": 990}, "copied", "fault"),
        ({"copied": 2}, "copied", "warning"),
        ({"shared": 60}, "shared", "fault"),
        ({"shared": 2}, "shared", "warning"),
    ],
)
def test_what_single_rows_do_not_show_is_found_in_their_sum(
    seen: dict[str, int], finding: str, severity: str
) -> None:
    verdict = dataclasses.replace(SOUND, integrity=dataclasses.replace(SOUND.integrity, **seen))  # type: ignore[arg-type]
    (found,) = verdict.findings
    assert (found.id, found.severity) == (finding, severity)
    assert verdict.passed == (severity == "warning")


def test_a_document_that_is_embedded_differently_now_is_named() -> None:
    verdict = dataclasses.replace(SOUND, again=Again(tested=32, differing=("7", "9"), lowest=0.31))
    (found,) = verdict.findings
    assert (found.id, found.documents) == ("not_the_model", ("7", "9"))
    assert verdict.faults == [
        "2 of 32 documents that were embedded again have another vector (cosine 0.310 at worst): `reembed retry "
        "--wrong` embeds the chunks that they are in again, then `reembed validate`"
    ]


def test_where_every_document_is_embedded_differently_now_the_model_is_another() -> None:
    verdict = dataclasses.replace(SOUND, again=Again(tested=2, differing=("7", "9"), lowest=0.31))
    assert verdict.faults == [
        "2 of 2 documents that were embedded again have another vector (cosine 0.310 at worst): is EMBED_MODEL still "
        "the model that filled the column? `reembed abort` and `reembed start` make all of them anew"
    ]


def test_documents_that_are_written_just_now_are_a_warning_and_more_than_those_are_missing() -> None:
    def judged(pending: int) -> Verdict:
        census = dataclasses.replace(SOUND.census, pending=pending)
        return dataclasses.replace(SOUND, integrity=dataclasses.replace(SOUND.integrity, census=census))

    assert [(found.id, found.severity) for found in judged(100).findings] == [("writing", "warning")]
    assert judged(100).passed
    assert [(found.id, found.severity) for found in judged(101).findings] == [("missing", "fault")]


def test_lost_documents_and_an_overlap_under_the_floor_do_not_pass() -> None:
    verdict = dataclasses.replace(
        SOUND,
        identity=Identity(tested=400, found=4, low=0.0, high=0.03, lost=198, failing_ids=()),
        overlap=Overlap(400, 0.02, 0.01, 0.03, 0.6, (1,) * 10, ()),
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
    assert lines[1] == (
        "            256 dimensions, 0 without variance; vectors of length 1.000, deviation 0.010"
    )
    assert lines[2] == "            32 embedded again, 0 differing (cosine 0.9999 at worst)"
    assert lines[3] == "identity    390 of 400 tested documents have their own vector (95 to 99 %)"
    assert lines[4] == "overlap@10  0.410 (95 % between 0.380 and 0.440; 400 documents as queries)"
    assert lines[-1] == "PASSED"
