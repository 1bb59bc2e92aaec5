"""Quality on judged queries, on a collection made of docstrings: the first line asks for the rest."""

from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG
from psycopg import sql

from config.settings import Settings
from orchestrator import checks, start
from orchestrator.demo import corpus
from orchestrator.embedding_server import models
from orchestrator.validation import asked, judge
from orchestrator.validation.verdict import Verdict
from reembed.database import chunks, documents, ledger, storage, validations
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps

QUERIES = 120


@pytest.fixture(scope="module")
def collection() -> list[tuple[str, str]]:
    """First line and rest of docstrings that have both."""
    found = []
    for document in corpus.documents():
        first, _, rest = document.text.partition("\n")
        if len(first) > 30 and len(rest) > 200:
            found.append((first, rest))
        if len(found) == 600:
            break
    return found


@pytest.fixture
def filled(
    database: Connection, settings: Settings, collection: list[tuple[str, str]], tmp_path: Path
) -> Migration:
    installation.make_table(database, sql.Identifier("documents"), [rest for _, rest in collection])
    environment = settings.model_copy(update={"index_method": "none", "chunk_size": len(collection)})
    migration = start.create(database, environment, checks.documents_table(database, settings))
    storage.expand(database, migration)
    chunks.plan(database, migration)
    steps.walk(database, migration, "backfilling", "indexing", "validating")
    claim = chunks.claim(database, migration.id, 1, owner="test", lease_seconds=30, max_strikes=3)
    assert claim is not None
    rows = documents.fetch_batch(database, migration, claim, after=None, limit=len(collection))
    vectors = models.embed("lexical-ngrams", [row.content for row in rows], 64)
    documents.write_batch(database, migration, claim, rows, vectors, {}, tokens=0, lease_seconds=30)
    ledger.change_state(database, ledger.get(database, migration.id), "ready")
    (tmp_path / "queries").write_text("\n".join(first for first, _ in collection[:QUERIES]))
    # A query's id is its line; the document's key is seven times the same
    (tmp_path / "qrels").write_text("".join(f"{n} 0 {7 * n} 1\n" for n in range(1, QUERIES + 1)))
    return ledger.get(database, migration.id)


def judged(
    database: Connection, settings: Settings, migration: Migration, tmp_path: Path, qrels: str = "qrels"
) -> Verdict:
    """As `reembed validate --queries --qrels` does it."""
    queries, file = str(tmp_path / "queries"), str(tmp_path / qrels)
    found = asked.read(database, settings, queries)
    judgements = judge.judgements_of(found, queries, file)
    return judge.again(database, settings, migration, found, judgements, insist=True)


def by_reference(
    database: Connection, collection: list[tuple[str, str]], column: str, model: str, dimensions: int
) -> dict[ir_measures.measures.Measure, float]:
    """Every row searched by hand, measured by ir-measures."""
    asked = models.embed(model, [first for first, _ in collection[:QUERIES]], dimensions)
    database.execute("SET enable_indexscan = off")
    nearest = sql.SQL("SELECT id FROM documents ORDER BY {} <=> %s LIMIT 100").format(sql.Identifier(column))
    qrels = [ir_measures.Qrel(str(n), str(7 * n), 1) for n in range(1, QUERIES + 1)]
    run = [
        ir_measures.ScoredDoc(str(number), str(row[0]), -place)
        for number, vector in enumerate(asked, start=1)
        for place, row in enumerate(database.execute(nearest, [vector]))
    ]
    measured: dict[ir_measures.measures.Measure, float] = ir_measures.calc_aggregate(
        [nDCG @ 10, R @ 10, R @ 100, RR], qrels, run
    )
    return measured


def test_judged_queries_give_what_the_reference_gives(
    database: Connection,
    settings: Settings,
    filled: Migration,
    collection: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    verdict = judged(database, settings, filled, tmp_path, "qrels")
    found = verdict.quality
    assert found is not None
    assert found.queries == QUERIES
    for scores, column, model, dimensions in (
        (found.old, "embedding", installation.OLD_MODEL, installation.OLD_DIMENSIONS),
        (found.new, "embedding_v2", installation.NEW_MODEL, installation.NEW_DIMENSIONS),
    ):
        expected = by_reference(database, collection, column, model, dimensions)
        assert scores.ndcg_at_10 == pytest.approx(expected[nDCG @ 10], abs=1e-9)
        assert scores.recall_at_10 == pytest.approx(expected[R @ 10], abs=1e-9)
        assert scores.recall_at_100 == pytest.approx(expected[R @ 100], abs=1e-9)
        assert scores.mrr == pytest.approx(expected[RR], abs=1e-9)
    assert verdict.as_json()["verdict"] == found.verdict
    # What is stored for the gate says the same
    stored = validations.last(database, filled.id)
    assert stored is not None
    assert stored["report"]["quality"]["old"]["ndcg_at_10"] == found.old.ndcg_at_10


def test_a_new_model_that_loses_more_than_the_margin_does_not_pass(
    database: Connection, settings: Settings, filled: Migration, tmp_path: Path
) -> None:
    # Given new vectors that say nothing of their texts
    noise = np.random.default_rng(1).standard_normal((600, 64)).astype(np.float32)
    for number in range(1, 601):
        database.execute(
            "UPDATE documents SET embedding_v2 = %s WHERE id = %s", [noise[number - 1], 7 * number]
        )
    verdict = judged(database, settings, filled, tmp_path, "qrels")
    assert verdict.quality is not None
    assert verdict.quality.verdict == "stop"
    assert any("judged queries the new model loses" in fault for fault in verdict.faults)
    assert ledger.get(database, filled.id).state == "needs_review"


def test_judgements_of_other_queries_are_refused(
    database: Connection, settings: Settings, filled: Migration, tmp_path: Path
) -> None:
    (tmp_path / "others").write_text("somebody 0 7 1\n")
    with pytest.raises(judge.NoneJudged, match=r"No query of .* is judged in .*others"):
        judged(database, settings, filled, tmp_path, "others")
