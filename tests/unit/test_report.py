"""The page of a judgement: one file that loads nothing, the verdict first, and no text that nobody asked for."""

import dataclasses
import json
import re
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from orchestrator.command import main
from orchestrator.report import charts, curve, page
from orchestrator.report.charts import Span
from orchestrator.report.page import Heading, Texts
from orchestrator.validation.shift import Shift
from orchestrator.validation.slices import Slices
from reembed import errors
from tests.unit.test_index_recall import measured
from tests.unit.test_quality import judge
from tests.unit.test_verdict import SOUND

HEADING = Heading(3, 'public."<odd>"', "old (32)", "new (64)", datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
FOUND = {"7": {"old": ["1", "2"], "new": ["2", "3"]}}


def report(**changes: object) -> dict[str, object]:
    """As the ledger keeps it: through JSON."""
    verdict = dataclasses.replace(SOUND, **changes)  # type: ignore[arg-type]
    found: dict[str, object] = json.loads(json.dumps(verdict.as_json()))
    return found


def full() -> dict[str, object]:
    whole = report(
        quality=judge("second", "best", 50),
        shift=Shift.of([[0.9, 0.8]] * 9, [[0.5, 0.4]] * 9),
        index=dataclasses.replace(measured(0.7, 0.9, 0.95, 1.0), old=measured(0.8, 0.9, 0.9, 0.95).new),
        slices=Slices.of("tenant", {}, {str(n): 0.4 for n in range(30)}),
    )
    whole["low_overlap"] = [{"id": "7", "overlap": 0.1, **FOUND["7"]}, {"id": "9", "overlap": 0.5}]
    return whole


def test_the_page_is_one_file_that_loads_nothing() -> None:
    drawn = page.render(full(), HEADING)
    assert drawn.startswith("<!doctype html>")
    assert not re.search(r"(src|href|srcset)\s*=|url\(|@import|<script|<link", drawn)
    assert "prefers-color-scheme: dark" in drawn
    assert 'name="viewport"' in drawn


def test_the_verdict_comes_first_and_everything_is_escaped() -> None:
    drawn = page.render(full(), HEADING)
    body = drawn[drawn.index("<main>") :]
    assert body.index("PASSED") < body.index("<h1>") < body.index("<h2>")
    assert "public.&#34;&lt;odd&gt;&#34;" in body
    failed = page.render(report(floor=0.9), HEADING)
    assert "NOT PASSED" in failed
    assert "under the alarm floor 0.9" in failed


def test_texts_are_in_it_only_where_somebody_asked_for_them() -> None:
    texts = Texts(
        queries={"7": "how do I <rotate> a key?"}, documents={"1": "a secret text", "3": "long " * 99}
    )
    assert "secret" not in page.render(full(), HEADING)
    assert "--with-text" in page.render(full(), HEADING)
    drawn = page.render(full(), HEADING, texts)
    assert "how do I &lt;rotate&gt; a key?" in drawn
    assert "a secret text" in drawn
    assert "long ..." in drawn
    assert "--with-text" not in drawn


def test_results_that_both_sides_have_are_told_from_the_others() -> None:
    drawn = page.render(full(), HEADING)
    assert drawn.count('<li class="both"><code>2</code>') == 2
    assert "<li><code>1</code>" in drawn
    assert "<li><code>3</code>" in drawn


def test_every_figure_has_its_chart_and_a_judgement_without_them_has_none() -> None:
    drawn = page.render(full(), HEADING)
    assert drawn.count("<svg") == 6
    assert drawn.count('role="img"') == 6
    assert "GO" in drawn
    bare = page.render(report(overlap=None, quality=None), HEADING)
    assert "<svg" not in bare
    assert "Not judged." in bare
    assert "Not measured" in bare


def test_a_histogram_draws_every_query() -> None:
    drawn = charts.histogram([1, 0, 0, 0, 0, 4, 0, 0, 0, 2], 0.6, 0.55)
    assert drawn.count("<rect") == 10
    assert drawn.count('class="under"') == 6
    assert "4 queries between 0.5 and 0.6" in drawn


def test_a_span_beyond_the_scale_is_drawn_at_its_end() -> None:
    drawn = charts.spans([Span("<x>", -5, 5, 9)], 0, 1, "t")
    assert 'cx="634.0"' in drawn
    assert "&lt;x&gt;" in drawn


def test_the_curve_of_an_index_has_a_mark_for_every_setting_and_says_the_ends_in_words() -> None:
    whole = full()
    drawn = page.render(whole, HEADING)
    assert "Nearest documents found, by hnsw.ef_search: old: 80 to 95 %; new: 70 to 100 %" in drawn
    assert drawn.count('class="dot old"') == 4
    assert drawn.count('class="dot new"') == 4
    assert "<code>hnsw.ef_search = 40</code> in use" in drawn


def test_indexes_of_two_kinds_are_drawn_apart() -> None:
    hnsw, ivfflat = {"parameter": "hnsw.ef_search"}, {"parameter": "ivfflat.probes"}
    points = [{"value": 1, "recall": 1.0, "low": 1.0, "high": 1.0}]
    found = {"index": {"old": {**hnsw, "points": points}, "new": {**ivfflat, "points": points}}}
    assert [parameter for parameter, _ in page._curves(found)] == ["hnsw.ef_search", "ivfflat.probes"]
    assert 'cx="78.0"' in curve.draw({"new": found["index"]["new"]})
    assert page._curves({"index": {"old": {**hnsw, "points": []}, "new": None}}) == []


def test_a_search_among_a_share_of_the_documents_says_so() -> None:
    bounded = dataclasses.replace(measured(0.9, 0.9, 0.9, 0.9), documents=4_000_000, searched=50_000)
    drawn = page.render(report(index=bounded), HEADING)
    assert "exact search among about 50,000 of 4,000,000 documents" in drawn


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_judged(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "nowhere" / "page.html", "No such file or directory"),
        (tmp_path / "page.html" / "page.html", "Not a directory"),
    ):
        (tmp_path / "page.html").write_text("an older page")
        # No DATABASE_URL is set: nothing else was looked at
        answer = CliRunner().invoke(main.reembed, ["validate", "--html", str(path)])
        assert isinstance(answer.exception, errors.Usage)
        assert str(answer.exception) == (
            f"The page cannot be written to {path}: {reason}. Nothing was judged; name another file with --html."
        )
    # One that can be written is as it was until it is
    for path, before in ((tmp_path / "page.html", "an older page"), (tmp_path / "new.html", None)):
        answer = CliRunner().invoke(main.reembed, ["validate", "--html", str(path)])
        assert str(answer.exception) == "DATABASE_URL is not set. Set it in the environment and try again."
        assert (path.read_text() if path.exists() else None) == before
