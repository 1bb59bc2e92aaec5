"""The short form of `make chaos`: the same run, two minutes of it."""

from pathlib import Path

import pytest

from tests.chaos import run


@pytest.mark.timeout(600)
def test_a_migration_under_fire_loses_nothing_and_ends_with_the_right_vector_for_every_document(
    tmp_path: Path,
) -> None:
    report = run.run(seconds=100, seed=7, logs=tmp_path)
    found = [*report.failures, *report.new.examples, *report.old.examples, *report.cleaned.examples]
    assert report.passed, "\n".join([*found, report.table(), "Repeat it with: make chaos SECONDS=100 SEED=7"])
    assert report.new.documents > run.DOCUMENTS / 2
    assert report.faults.total() >= 30
