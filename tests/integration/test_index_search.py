"""Indexes of both columns, measured against an exact search made by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator.validation import comparison, index_search, judge, sentences
from orchestrator.validation.index_recall import Curve, IndexRecall
from reembed.database import documents
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests.integration.conftest import BOTH_STORAGES
from tests.integration.test_judge import COUNT, fill

pytestmark = BOTH_STORAGES
K = 10
Measure = Callable[[], IndexRecall | None]


@pytest.fixture
def filled(database: Connection, settings: Settings, storage: str) -> Migration:
    return fill(database, settings, storage)


@pytest.fixture
def measure(database: Connection, filled: Migration) -> Measure:
    """With documents as queries."""

    def measured() -> IndexRecall | None:
        rows = comparison.sample(database, filled, COUNT, 50)
        old, new = [(row.id, row.old) for row in rows], [(row.id, row.new) for row in rows]
        return index_search.measure(
            database, filled, documents.census(database, filled).documents, old, new, K
        )

    return measured


def build_on_nothing(database: Connection, migration: Migration, lists: int) -> None:
    """An ivfflat index whose centres are drawn from no row at all; the rows come later."""
    table = sql.Identifier(migration.table.vectors)
    for statement in (
        "CREATE TEMP TABLE kept AS SELECT id, embedding_v2 FROM {}",
        "UPDATE {} SET embedding_v2 = NULL",
        f"CREATE INDEX built_on_nothing ON {{}} USING ivfflat (embedding_v2 vector_cosine_ops) WITH (lists = {lists})",
        "UPDATE {} v SET embedding_v2 = k.embedding_v2 FROM kept k WHERE k.id = v.id",
        "ANALYZE {}",
    ):
        database.execute(sql.SQL(statement).format(table))


def by_hand(database: Connection, migration: Migration, probes: int) -> float:
    """The share of the nearest ten that the index finds, for the documents that `measure` asks by."""
    table = sql.Identifier(migration.table.vectors)
    rows = database.execute(
        sql.SQL("SELECT id::text, embedding_v2 FROM {} WHERE embedding_v2 IS NOT NULL").format(table),
        binary=True,
    ).fetchall()
    keys, vectors = [row[0] for row in rows], np.stack([row[1] for row in rows])
    found = 0
    with database.transaction():
        database.execute("SELECT set_config('enable_seqscan', 'off', true)")
        database.execute("SELECT set_config('ivfflat.probes', %s, true)", [str(probes)])
        asked = comparison.sample(database, migration, COUNT, 50)
        for row in asked:
            order = np.argsort(-(vectors @ row.new), kind="stable")
            nearest = set([keys[number] for number in order if keys[number] != row.id][:K])
            near = database.execute(
                sql.SQL("SELECT id::text FROM {} ORDER BY embedding_v2 <=> %s LIMIT 11").format(table),
                [row.new],
            )
            found += len(nearest & set([one[0] for one in near if one[0] != row.id][:K]))
    return found / (K * len(asked))


def new_curve(measured: IndexRecall | None) -> Curve:
    assert measured is not None
    assert measured.new is not None
    return measured.new


def test_a_column_without_an_index_has_no_curve_and_one_with_hnsw_finds_nearly_all(measure: Measure) -> None:
    measured = measure()
    assert measured is not None
    assert measured.new is None
    assert measured.old is not None
    assert (measured.old.parameter, measured.old.in_use) == ("hnsw.ef_search", 40)
    assert [point.value for point in measured.old.points] == [40, 100, 200, 400]
    assert measured.old.points[-1].recall > 0.99
    assert all(0 < point.median_ms <= point.p95_ms for point in measured.old.points)


def test_an_index_that_was_built_on_too_few_rows_is_caught_and_its_recall_is_the_true_one(
    database: Connection, settings: Settings, filled: Migration, measure: Measure
) -> None:
    build_on_nothing(database, filled, lists=100)
    curve = new_curve(measure())
    narrow = curve.used
    assert (curve.parameter, narrow.value) == ("ivfflat.probes", 1)
    assert narrow.recall == pytest.approx(by_hand(database, filled, 1), abs=1e-9)
    assert narrow.low <= narrow.recall <= narrow.high < 0.9
    # Whoever looks into every list finds everything, whatever the lists are
    assert curve.points[-1].recall > narrow.recall
    # And the judgement says so
    verdict = judge.judge(database, settings, filled)
    assert [(found.id, found.severity) for found in verdict.findings] == [("index", "warning")]
    assert verdict.as_json()["index"]["new"]["parameter"] == "ivfflat.probes"
    # Latency is that of a search as users have it
    assert verdict.index is not None
    assert verdict.index.new is not None
    assert verdict.new_latency is not None
    assert verdict.new_latency.median == verdict.index.new.used.median_ms
    assert any("ivfflat.probes: " in line for line in sentences.lines(verdict))


def test_exact_search_is_bounded_says_so_and_still_tells_the_true_recall(
    database: Connection, filled: Migration, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_on_nothing(database, filled, lists=30)
    whole = new_curve(measure()).points
    monkeypatch.setattr(index_search, "EXACT_ROWS", COUNT // 2)
    measured = measure()
    bounded = new_curve(measured).points
    assert measured is not None
    assert (measured.documents, measured.searched) == (COUNT, COUNT // 2)
    # What a share of the rows says is the recall where that is good, and no better than it where it is bad
    good = [number for number, point in enumerate(whole) if point.recall > 0.8]
    assert good
    for number in good:
        assert whole[number].recall == pytest.approx(bounded[number].recall, abs=0.05)
    assert all(part.recall <= point.recall + 0.05 for part, point in zip(bounded, whole, strict=True))
    assert bounded[0].recall < 0.8


def test_the_settings_of_the_session_are_as_they_were(
    database: Connection, filled: Migration, measure: Measure
) -> None:
    build_on_nothing(database, filled, lists=30)
    measure()
    for setting, value in (
        ("enable_seqscan", "on"),
        ("enable_sort", "on"),
        ("ivfflat.probes", "1"),
        ("hnsw.ef_search", "40"),
    ):
        assert database.execute("SELECT current_setting(%s)", [setting]).fetchone() == (value,)


def test_a_share_too_small_to_have_anything_within_reach_says_nothing(
    database: Connection, filled: Migration, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_search, "EXACT_ROWS", 0)
    assert measure() is None
