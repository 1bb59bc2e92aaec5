"""The judgement of real columns: sound ones pass, and each way to spoil one is caught."""

from collections.abc import Sequence

import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import checks, resume, start
from orchestrator.demo import corpus
from orchestrator.embedding_server import models
from orchestrator.validation import judge
from reembed.database import chunks, documents, ledger, validations
from reembed.database import storage as vector_storage
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps
from tests.integration.conftest import BOTH_STORAGES

COUNT = 420
pytestmark = BOTH_STORAGES


@pytest.fixture
def filled(database: Connection, settings: Settings, storage: str) -> Migration:
    return fill(database, settings, storage)


def fill(
    database: Connection,
    settings: Settings,
    storage: str,
    texts: Sequence[str] | None = None,
    chunk_size: int = 10_000,
) -> Migration:
    """A migration with the right vector beside each of its documents, ready to be judged."""
    old = (str(settings.old_embed_model), settings.old_embed_dimensions or installation.OLD_DIMENSIONS)
    contents = installation.texts(COUNT) if texts is None else texts
    installation.make_table(database, sql.Identifier("documents"), contents, old=old)
    changed = settings.model_copy(
        update={"index_method": "none", "chunk_size": chunk_size, "storage": storage}
    )
    migration = start.create(database, changed, checks.documents_table(database, changed))
    vector_storage.expand(database, migration)
    chunks.plan(database, migration)
    steps.walk(database, migration, "backfilling", "indexing", "validating")
    for (number,) in database.execute("SELECT number FROM reembed.chunks").fetchall():
        claim = chunks.claim(database, migration.id, number, owner="test", lease_seconds=30, max_strikes=3)
        assert claim is not None
        found_documents = documents.fetch_batch(database, migration, claim, after=None, limit=10_000)
        vectors = models.embed(
            settings.embed_model, [one.content for one in found_documents], settings.embed_dimensions
        )
        documents.write_batch(
            database, migration, claim, found_documents, vectors, {}, tokens=0, lease_seconds=30
        )
        chunks.finish(database, claim)
    ledger.change_state(database, ledger.get(database, migration.id), "ready")
    return ledger.get(database, migration.id)


def spoil(database: Connection, migration: Migration, assignment: str) -> None:
    """Write to the new vectors and what stands beside them, wherever they live."""
    table = sql.Identifier(migration.table.vectors)
    database.execute(sql.SQL("UPDATE {} SET ").format(table) + sql.SQL(assignment))


def faults(database: Connection, settings: Settings, migration: Migration) -> list[str]:
    return judge.judge(database, settings, migration).faults


def test_a_sound_column_passes_and_its_judgement_is_stored(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    verdict = judge.judge(database, settings, filled)
    assert verdict.passed, verdict.faults
    stored = validations.last(database, filled.id)
    assert stored is not None
    assert stored["passed"] is True
    assert stored["report"]["settings"]["VALIDATION_SAMPLE"] == settings.validation_sample
    assert stored["report"] == verdict.as_json()


@pytest.fixture(scope="module")
def descriptions() -> list[str]:
    """Docstrings without their first line: looking for them takes seconds."""
    texts = [document.text.partition("\n")[2] for document in corpus.documents(1_500)]
    return [text for text in texts if len(text) > 150][:COUNT]


@pytest.mark.skipif("wordllama-256" not in models.SERVED, reason="its wheel is not installed")
def test_a_sound_upgrade_passes_though_it_finds_other_documents(
    database: Connection, settings: Settings, storage: str, descriptions: list[str]
) -> None:
    upgrade = settings.model_copy(
        update={
            "old_embed_model": "lexical-words", "old_embed_dimensions": 384,
            "embed_model": "wordllama-256", "embed_dimensions": 256, "validation_sample": 150,
        }
    )  # fmt: skip
    migration = fill(database, upgrade, storage, descriptions)
    verdict = judge.judge(database, upgrade, migration)
    assert verdict.overlap is not None
    # Under VALIDATION_MIN_OVERLAP by far
    assert 0.25 < verdict.overlap.mean < 0.5
    assert verdict.passed, verdict.faults


def test_a_column_shifted_by_one_row_is_caught(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    database.execute(
        sql.SQL(
            "UPDATE {0} d SET embedding_v2 = s.shifted FROM "
            "(SELECT id, lag(embedding_v2, 1, embedding_v2) OVER (ORDER BY id) AS shifted FROM {0}) s "
            "WHERE s.id = d.id"
        ).format(sql.Identifier(filled.table.vectors))
    )
    found = faults(database, settings, filled)
    assert any("nowhere near what their old one says" in fault for fault in found), found
    assert any("under the alarm floor" in fault for fault in found), found


# What somebody may have done to the column, and the finding that says so
SPOILT = {
    "all shuffled": (
        "UPDATE documents d SET embedding_v2 = o.embedding_v2 FROM documents o WHERE o.id = 7 + (d.id * 13) % 2940",
        "identity",
    ),
    "a batch of 64 shuffled": (
        "UPDATE documents d SET embedding_v2 = o.embedding_v2 FROM documents o "
        "WHERE d.id BETWEEN 700 AND 1148 AND o.id = 1848 - d.id",
        "not_the_model",
    ),
    "a twentieth shuffled": (
        "UPDATE documents d SET embedding_v2 = o.embedding_v2 FROM documents o "
        "WHERE d.id % 140 = 0 AND o.id = 2940 - d.id + 7",
        "not_the_model",
    ),
    "half of the dimensions zero": (
        "UPDATE documents SET embedding_v2 = "
        "((embedding_v2::real[])[1:32] || array_fill(0::real, '{32}'))::vector",
        "dead_dimensions",
    ),
    "one vector for all": (
        "UPDATE documents SET embedding_v2 = (SELECT embedding_v2 FROM documents WHERE id = 7)",
        "shared",
    ),
    "a hundredth zero": (
        "UPDATE documents SET embedding_v2 = array_fill(0::real, '{64}')::vector WHERE id % 700 = 0",
        "invalid",
    ),
}


@pytest.mark.parametrize(("statement", "finding"), SPOILT.values(), ids=list(SPOILT))
def test_a_spoilt_column_does_not_pass_and_the_finding_says_how(
    database: Connection, settings: Settings, filled: Migration, statement: str, finding: str
) -> None:
    statement = statement.replace("documents", filled.table.vectors)
    assert database.execute(statement.replace("%", "%%"), []).rowcount > 0
    verdict = judge.judge(database, settings, filled)
    assert not verdict.passed
    assert finding in {found.id for found in verdict.findings if found.severity == "fault"}


def test_the_chunks_of_documents_that_are_proved_wrong_are_made_anew_on_request(
    database: Connection, settings: Settings, nothing_published: None, storage: str
) -> None:
    # Given ten chunks, and in one of them the vectors of two neighbours exchanged throughout
    migration = fill(database, settings, storage, chunk_size=42)
    vectors = migration.table.vectors
    (first, last), *_ = database.execute(
        "SELECT first_id::bigint, last_id::bigint FROM reembed.chunks WHERE number = 4"
    ).fetchall()
    database.execute(
        f"UPDATE {vectors} d SET embedding_v2 = o.embedding_v2 FROM {vectors} o "
        "WHERE d.id BETWEEN %s AND %s AND o.id = %s - d.id",
        [first, last, first + last],
    )
    ledger.change_state(database, migration, "needs_review")
    current = ledger.get(database, migration.id)
    # When nobody has judged yet, nothing is known to be wrong
    with pytest.raises(resume.NothingWrong):
        resume.retry(database, current, wrong=True)
    assert documents.count_pending(database, current) == 0
    assert not judge.judge(database, settings, current).passed
    # Then the chunk as a whole is pending, and nothing else
    chunks_tried, tried = resume.retry(database, current, wrong=True)
    assert (chunks_tried, tried) == (0, 42)
    pending = database.execute(f"SELECT min(id), max(id) FROM {vectors} WHERE embedding_v2_model IS NULL")
    assert pending.fetchall() == [(first, last)]


def test_a_model_that_is_silently_another_is_caught(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    # Given a column filled by another model of the same width, under this one's name
    rows = database.execute("SELECT id, content FROM documents").fetchall()
    others = models.embed("lexical-words", [row[1] for row in rows], 64)
    with database.cursor() as cursor:
        cursor.executemany(
            sql.SQL("UPDATE {} SET embedding_v2 = %s WHERE id = %s").format(
                sql.Identifier(filled.table.vectors)
            ),
            [(vector, row[0]) for vector, row in zip(others, rows, strict=True)],
        )
    verdict = judge.judge(database, settings, filled)
    assert [found.id for found in verdict.findings if found.severity == "fault"] == ["not_the_model"]


def test_old_vectors_copied_into_the_new_column_are_caught(
    database: Connection, settings: Settings, storage: str
) -> None:
    # Given two models of one width
    as_wide = settings.model_copy(update={"embed_dimensions": installation.OLD_DIMENSIONS})
    migration = fill(database, as_wide, storage)
    assert judge.judge(database, as_wide, migration).passed
    database.execute(
        sql.SQL("UPDATE {} v SET embedding_v2 = d.embedding FROM documents d WHERE d.id = v.id").format(
            sql.Identifier(migration.table.vectors)
        )
    )
    verdict = judge.judge(database, as_wide, migration)
    assert "copied" in {found.id for found in verdict.findings if found.severity == "fault"}


def test_a_provider_that_is_away_leaves_a_note_and_no_fault(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    away = settings.model_copy(update={"openai_base_url": "http://127.0.0.1:1/v1"})
    verdict = judge.judge(database, away, filled)
    assert verdict.passed
    assert "no document was embedded again" in verdict.notes[0]


def test_missing_stale_and_invalid_vectors_are_counted_over_every_row(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    spoil(database, filled, "embedding_v2_model = NULL WHERE id = 7")
    spoil(database, filled, "embedding_v2_hash = md5('other')::uuid WHERE id IN (14, 21)")
    spoil(database, filled, f"embedding_v2 = '{[0.0] * 64}' WHERE id IN (28, 35, 42)")
    found = faults(database, settings, filled)
    assert [fault.split(":")[0] for fault in found] == [
        "1 documents have no fresh vector",
        "2 vectors are of an older text",
        "3 vectors are missing or zero though a model is named beside them",
    ]


def test_a_judgement_holds_no_text(database: Connection, settings: Settings, filled: Migration) -> None:
    stored = str(judge.judge(database, settings, filled).as_json())
    for text in installation.texts(COUNT):
        assert text not in stored


def test_judging_again_opens_and_closes_the_gate(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    spoil(database, filled, "embedding_v2_model = NULL WHERE id = 7")
    judge.again(database, settings, filled)
    assert ledger.get(database, filled.id).state == "needs_review"
    spoil(database, filled, f"embedding_v2_model = {filled.new_model_id}")
    judge.again(database, settings, ledger.get(database, filled.id))
    assert ledger.get(database, filled.id).state == "ready"


def test_one_broken_slice_does_not_hide_in_a_mean_that_is_fine(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    # Given a tenant with a tenth of the documents, whose new vectors belong to each other's documents
    database.execute("ALTER TABLE documents ADD COLUMN tenant text")
    database.execute("UPDATE documents SET tenant = CASE WHEN mod(id, 70) = 0 THEN 'small' ELSE 'large' END")
    by_tenant = settings.model_copy(update={"validation_slice_column": "tenant"})
    assert not [one for one in judge.judge(database, by_tenant, filled).faults if "tenant" in one]
    table = sql.Identifier(filled.table.vectors)
    database.execute(
        sql.SQL(
            "UPDATE {table} t SET embedding_v2 = o.embedding_v2 FROM {table} o "
            "WHERE mod(t.id, 70) = 0 AND o.id = mod(t.id + 693, 2940) + 7"
        ).format(table=table)
    )
    verdict = judge.judge(database, by_tenant, filled)
    assert verdict.overlap is not None
    assert verdict.overlap.mean > settings.validation_overlap_floor
    assert [finding.id for finding in verdict.findings if "tenant = 'small'" in finding.what] == ["slice"]
    assert verdict.slices is not None
    assert verdict.slices.measured[0].name == "'small'"


def test_a_slice_column_that_is_gone_leaves_a_note_and_a_judgement(
    database: Connection, settings: Settings, filled: Migration
) -> None:
    verdict = judge.judge(database, settings.model_copy(update={"validation_slice_column": "x"}), filled)
    assert verdict.slices is None
    assert verdict.notes[0] == "no slices: public.documents has no column x (VALIDATION_SLICE_COLUMN)"
