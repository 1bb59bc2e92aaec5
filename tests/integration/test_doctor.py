"""The doctor and the database: each finding is there once the thing is broken, and not before; nothing is written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import MagicMock
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from config.settings import Settings
from orchestrator import checks, start
from orchestrator.doctor import database as server
from orchestrator.doctor import examination, reading, replication, roll_call, table
from orchestrator.doctor.finding import Finding
from orchestrator.embedded import postgres
from orchestrator.embedded.stack import Stack
from reembed.database import connection, fitness, ledger
from reembed.database import storage as vector_storage
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps, waiting

# Nobody is at the broker in these tests, and a connection to it is there
PROCESSES = {"worker.none", "control.none", "beat.none"}
SOUND = {"database.version", "table.size", "rights.enough", "index.old", "disk.forecast", *PROCESSES}
MODELS = {"provider.answers", "old_model.answers"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, broker: object) -> None:
    monkeypatch.setattr(roll_call, "_SECONDS", 0.05)


@pytest.fixture
def ready_table(database: Connection, documents_table: sql.Identifier) -> sql.Identifier:
    """One that there is nothing to say about."""
    database.execute("ANALYZE documents")
    return documents_table


def everything(settings: Settings, **more: object) -> dict[str, Finding]:
    """What `doctor` finds, by id."""
    return by_id(examination.examine(settings.model_copy(update=more)))


def found(settings: Settings, **more: object) -> dict[str, Finding]:
    """The same without the models, as `plan` shows it."""
    changed = settings.model_copy(update=more)
    with connection.connect(changed.direct_database, "test") as ours:
        return by_id(examination.before_start(ours, changed))


def by_id(findings: list[Finding]) -> dict[str, Finding]:
    """Each only once."""
    assert len({finding.id for finding in findings}) == len(findings)
    return {finding.id: finding for finding in findings}


def test_a_sound_installation_has_no_findings_but_what_it_is(settings: Settings, ready_table: object) -> None:
    seen = everything(settings)
    assert set(seen) == SOUND | MODELS
    assert {finding.severity for name, finding in seen.items() if name not in PROCESSES} == {"info"}
    assert {seen[name].severity for name in PROCESSES} == {"warning"}


def test_it_writes_nothing(database: Connection, settings: Settings, ready_table: object) -> None:
    """The server refuses whatever is not reading, in every session of the doctor's, and nothing else is found."""
    name = sql.Identifier(database.info.dbname)
    database.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    seen = everything(settings)
    assert set(seen) == SOUND | MODELS | {"database.read_only"}
    assert seen["database.read_only"].severity == "error"


def test_a_check_that_would_write_could_not(
    settings: Settings, ready_table: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes(ours: Connection, *_: object) -> list[Finding]:
        ours.execute("DELETE FROM documents")
        return []

    monkeypatch.setattr(table, "CHECKS", (writes, *table.CHECKS))
    seen = found(settings)
    # And the checks after it go on
    assert set(seen) == SOUND | {"table.unseen"}
    assert seen["table.unseen"].what == (
        "This could not be looked at (table): ReadOnlySqlTransaction: cannot execute DELETE in a read-only transaction"
    )


def test_the_old_model_in_the_place_of_the_new_one_is_an_error_before_anything_is_paid_for(
    database: Connection, settings: Settings, ready_table: object
) -> None:
    left: dict[str, object] = {"embed_model": "lexical-words", "embed_dimensions": 32}
    finding = found(settings, **left)["model.old"]
    assert (finding.severity, finding.what, finding.hint) == (
        "error",
        "EMBED_MODEL and OLD_EMBED_MODEL are the same, lexical-words (32), so there is nothing to move.",
        "Set EMBED_MODEL to the new model; to have every vector made anew by this one, unset OLD_EMBED_MODEL.",
    )
    for begin in (start.plan, start.start):
        with pytest.raises(checks.SameAsOld):
            begin(database, settings.model_copy(update=left))
    assert not ledger.exists(database)
    # An old column's width is the old model's, where nobody says another
    assert "model.old" in found(settings, **left, old_embed_dimensions=None)
    # The same name elsewhere, another width, other prefixes, or no name: something to do
    for more in (
        {"old_openai_base_url": "http://elsewhere/v1"},
        {"old_embed_dimensions": 16},
        {"old_embed_document_prefix": "passage: "},
        {"embed_query_prefix": "query: "},
        {"old_embed_model": None},
    ):
        assert "model.old" not in found(settings, **left, **more), more


def test_nothing_of_the_doctors_outlasts_it_in_a_session(
    database: Connection, settings: Settings, ready_table: object
) -> None:
    examination.before_start(database, settings)
    with database.transaction():
        database.execute("DELETE FROM documents")
        row = database.execute(
            "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
        ).fetchone()
    assert row == ("0", "0")


BREAKS = {
    "pgvector.missing": "DROP EXTENSION vector CASCADE",
    "pgvector.old": "UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'",
    "table.missing": "ALTER TABLE documents RENAME TO others",
    "table.key": "ALTER TABLE documents DROP CONSTRAINT documents_pkey",
    "column.missing": "ALTER TABLE documents RENAME content TO body",
    "column.type": "ALTER TABLE documents ALTER content TYPE json USING to_json(content)",
    "column.exists": "ALTER TABLE documents ADD embedding_v2 text",
    "table.empty": "TRUNCATE documents",
    "table.nested": (
        "DROP TABLE documents; "
        "CREATE TABLE documents (id bigint PRIMARY KEY, content text, embedding vector(32)) PARTITION BY RANGE (id); "
        "CREATE TABLE part PARTITION OF documents DEFAULT PARTITION BY RANGE (id); "
        "CREATE TABLE part_of_part PARTITION OF part DEFAULT"
    ),
}
MISTAKES: dict[str, dict[str, object]] = {
    "database.url": {"database_direct_url": None, "database_url": SecretStr("postgresql://hidden@[")},
    "table.name": {"documents_table": '"documents'},
    "column.taken": {"new_column": "embedding"},
    "column.long": {"new_column": "e" * 60},
    "model.too_wide": {"embed_dimensions": 5_000},
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_start_would_refuse_is_an_error(
    database: Connection, settings: Settings, ready_table: object, name: str
) -> None:
    database.execute(BREAKS[name].encode())
    seen = found(settings)
    assert seen[name].severity == "error"
    assert {finding.id for finding in seen.values() if finding.severity == "error"} == {name}
    # What has nothing to do with it was looked at all the same
    assert {"database.version", "worker.none"} <= set(seen)


def test_a_setting_that_start_would_refuse_is_an_error(settings: Settings, ready_table: object) -> None:
    seen = {name: everything(settings, old_embed_model=None, **more) for name, more in MISTAKES.items()}
    assert {name: findings[name].severity for name, findings in seen.items()} == dict.fromkeys(
        MISTAKES, "error"
    )
    assert all(set(findings) >= PROCESSES for findings in seen.values())
    assert "hidden" not in str(seen)


def test_an_old_column_that_leaves_no_room_for_its_provenance_is_an_error(
    database: Connection, settings: Settings, ready_table: object
) -> None:
    name = "e" * 60
    database.execute(sql.SQL("ALTER TABLE documents RENAME embedding TO {}").format(sql.Identifier(name)))
    assert found(settings, old_column=name)["column.no_room"].severity == "error"


def test_a_table_that_somebody_locks_holds_up_nothing_else(
    settings: Settings, ready_table: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reading._LIMITS, "lock_timeout", "100ms")
    with psycopg.connect(settings.database) as busy:
        busy.execute("LOCK TABLE documents IN ACCESS EXCLUSIVE MODE")
        seen = found(settings)
    assert set(seen) == {"database.version", "table.unseen", *PROCESSES}
    assert "canceling statement due to lock timeout" in seen["table.unseen"].what


def test_everything_that_stands_against_a_table_is_said_at_once(
    database: Connection, settings: Settings, ready_table: object
) -> None:
    database.execute("ALTER TABLE documents DROP CONSTRAINT documents_pkey")
    database.execute("ALTER TABLE documents RENAME content TO body")
    database.execute("UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'")
    seen = found(settings)
    assert {"table.key", "column.missing", "pgvector.old"} <= set(seen)
    assert (seen["column.missing"].what, seen["column.missing"].hint) == (
        "The table public.documents has no column content; it has id, body, embedding.",
        "Set DOCUMENTS_CONTENT_COLUMN.",
    )


WARNS: dict[str, tuple[str, ...]] = {
    "table.autovacuum": ("ALTER TABLE documents SET (autovacuum_enabled = off)",),
    "table.triggers": (
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER touch BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION touch()",
        # These two never see a vector that is written
        "CREATE TRIGGER edited BEFORE UPDATE OF content ON documents FOR EACH ROW EXECUTE FUNCTION touch()",
        "CREATE TRIGGER made BEFORE INSERT ON documents FOR EACH ROW EXECUTE FUNCTION touch()",
    ),
    "table.policies": ("ALTER TABLE documents ENABLE ROW LEVEL SECURITY",),
    "table.views": ("CREATE VIEW searched AS SELECT id, embedding FROM documents",),
    "index.invalid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'documents_embedding_idx'::regclass",
    ),
    "replication.published": ("CREATE PUBLICATION everything FOR TABLE documents",),
}


def test_what_a_person_should_know_is_found_and_stops_nothing(
    database: Connection, settings: Settings, ready_table: object
) -> None:
    for number, name in enumerate(WARNS, 1):
        for statement in WARNS[name]:
            database.execute(statement.encode())
        seen = found(settings)
        # What came before is still there, and nothing else
        assert set(seen) == SOUND | {*list(WARNS)[:number]}
        assert {finding.severity for finding in seen.values()} == {"warning", "info"}
    assert seen["table.triggers"].what == (
        "Triggers on UPDATE of public.documents fire for every vector that is written: touch."
    )


def test_a_publication_that_names_its_columns_is_no_concern(
    database: Connection, settings: Settings, ready_table: object
) -> None:
    database.execute("CREATE PUBLICATION texts FOR TABLE documents (id, content)")
    assert set(found(settings)) == SOUND
    database.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    column, companion = found(settings), found(settings, storage="companion")
    assert column["replication.published"].what.endswith(
        "`start` adds embedding_v2, embedding_v2_model, embedding_v2_hash, embedding_v2_old_stale."
    )
    assert companion["replication.published"].what.endswith("`cleanup` adds embedding_model, embedding_hash.")


def test_a_companion_has_no_policies_of_its_own(
    database: Connection, settings: Settings, ready_table: object
) -> None:
    database.execute("ALTER TABLE documents ENABLE ROW LEVEL SECURITY")
    seen = everything(settings, storage="companion")
    assert seen["table.policies"].severity == "warning"
    # Twelve documents are soon written
    assert seen["storage.advice"].what.startswith(
        "STORAGE=column suits the table better than STORAGE=companion: "
    )


def test_a_table_that_was_never_analyzed_is_unknown(settings: Settings, documents_table: object) -> None:
    assert "table.not_analyzed" in found(settings)


def test_dead_rows_that_nobody_takes_are_noticed(
    database: Connection, settings: Settings, ready_table: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_DEAD_ROWS", 5)
    assert "table.dead_rows" not in found(settings)
    database.execute("ALTER TABLE documents SET (autovacuum_vacuum_threshold = 1000000)")
    database.execute("UPDATE documents SET content = content || '.'")
    database.execute("SELECT pg_stat_force_next_flush()")
    database.execute("SELECT")
    assert found(settings)["table.dead_rows"].what == (
        "50% of the rows of public.documents are dead versions: autovacuum does not keep up."
    )


def test_a_partitioned_table_is_looked_at_with_its_partitions(
    database: Connection, settings: Settings
) -> None:
    installation.make_table(database, sql.Identifier("documents"), installation.texts(12), partition_from=40)
    database.execute("ANALYZE documents")
    database.execute("ALTER TABLE documents_high SET (autovacuum_enabled = off)")
    seen = found(settings)
    assert set(seen) == SOUND | {"table.autovacuum"}
    assert "about 12 rows in 2 partitions, which are indexed one by one" in seen["table.size"].what


def test_a_transaction_that_never_ends_is_named(
    database: Connection, settings: Settings, ready_table: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LONG_SECONDS", 0)
    with psycopg.connect(settings.database, application_name="reports") as reports:
        reports.execute("SELECT 1")
        seen = found(settings)
        process = reports.info.backend_pid
    assert set(seen) == SOUND | {"database.long_transaction"}
    assert f"(process {process}, reports)" in seen["database.long_transaction"].what


def test_a_server_with_no_room_for_workers_is_noticed(
    settings: Settings, ready_table: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_FEW_CONNECTIONS", 100)
    assert " of max_connections = 100 are left" in found(settings)["database.connections"].what


def test_a_slot_that_nobody_reads_is_named(
    database: Connection, settings: Settings, ready_table: object
) -> None:
    database.execute("SELECT pg_create_physical_replication_slot('left_behind')")
    try:
        assert "slot left_behind: " in found(settings)["replication.idle_slot"].what
        assert "disk.slot_limit" not in found(settings)
        database.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        database.execute("SELECT pg_reload_conf()")
        # Twelve documents of 16,000 dimensions
        wide = {"embed_dimensions": 16_000, "index_method": "none"}
        database.execute("UPDATE pg_class SET reltuples = 1000 WHERE relname = 'documents'")
        assert "1.0 MB" in found(settings, **wide)["disk.slot_limit"].what
    finally:
        database.execute("SELECT pg_drop_replication_slot('left_behind')")
        database.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        database.execute("SELECT pg_reload_conf()")


@pytest.fixture
def role(database: Connection, ready_table: object) -> Iterator[str]:
    """Somebody who may read and write the documents, and nothing else."""
    name = f"somebody of {database.info.dbname}"
    database.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    try:
        database.execute(sql.SQL("GRANT SELECT, UPDATE ON documents TO {}").format(sql.Identifier(name)))
        yield name
    finally:
        database.execute(sql.SQL("REASSIGN OWNED BY {} TO postgres").format(sql.Identifier(name)))
        database.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        database.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def errors_of(settings: Settings, role: str) -> Callable[..., set[str]]:
    url = settings.database.replace("postgres@", f"{quote(role)}@")

    def look(**more: object) -> set[str]:
        seen = found(settings, database_url=SecretStr(url), database_direct_url=None, **more)
        lacking = {
            "rights.table",
            "rights.index",
            "rights.companion",
            "rights.schema",
            "rights.ledger",
            "table.rls",
        }
        assert ("rights.enough" in seen) == (not lacking & set(seen))
        # Nothing wants more rights than a migration does, but for the ledger that cannot be read
        unseen = {name for name in seen if name.endswith(".unseen")}
        assert unseen == ({"migration.unseen"} if "rights.ledger" in seen else set())
        return {finding.id for finding in seen.values() if finding.severity == "error"}

    return look


def test_each_right_that_is_missing_is_an_error_before_it_is_needed(
    database: Connection, role: str, errors_of: Callable[..., set[str]]
) -> None:
    grantee = sql.Identifier(role)
    assert errors_of() == {"rights.table", "rights.index"}
    assert errors_of(storage="companion") == {"rights.table", "rights.companion"}
    database.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(grantee))
    assert errors_of() == {"rights.table"}
    database.execute(sql.SQL("ALTER TABLE documents OWNER TO {}").format(grantee))
    assert errors_of() == {"rights.schema"}
    assert errors_of(govern_active_sessions=5) == {"rights.schema", "rights.statistics"}
    database.execute("ALTER TABLE documents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    assert errors_of() == {"table.rls"}
    database.execute("ALTER TABLE documents NO FORCE ROW LEVEL SECURITY")
    with database.transaction():
        ledger.install(database)
    assert errors_of() == {"rights.ledger"}
    database.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA reembed TO {}").format(grantee))
    database.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA reembed TO {}").format(grantee))
    assert errors_of() == set()


def test_a_partition_of_somebody_else_is_a_right_that_is_missing(
    database: Connection, settings: Settings, role: str
) -> None:
    database.execute("DROP TABLE documents")
    installation.make_table(database, sql.Identifier("documents"), installation.texts(12), partition_from=40)
    for name in ("documents", "documents_low"):
        grant = sql.SQL("ALTER TABLE {} OWNER TO {}")
        database.execute(grant.format(sql.Identifier(name), sql.Identifier(role)))
    database.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(role)))
    url = settings.database.replace("postgres@", f"{quote(role)}@")
    with connection.connect(url, "test") as theirs:
        with pytest.raises(fitness.NotAllowed, match="may not alter the table"):
            checks.documents_table(theirs, settings)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            theirs.execute("ALTER TABLE documents ADD embedding_v2 vector")
        database.execute(sql.SQL("ALTER TABLE documents_high OWNER TO {}").format(sql.Identifier(role)))
        found = checks.documents_table(theirs, settings)
        # `start` asks as well, and before it writes anything
        with pytest.raises(checks.MayNotInstall) as error:
            start.start(theirs, settings)
    assert str(found.table) == "public.documents"
    assert error.value.exit_code == 2


def test_a_migration_that_is_under_way_is_said_to_be(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    seen = found(settings)
    assert seen["migration.under_way"].what == "Migration 1 to lexical-ngrams (64) is backfilling."
    assert not {finding.id for finding in seen.values() if finding.severity == "error"}
    assert found(settings, embed_dimensions=32)["migration.another"].severity == "error"
    steps.walk(database, migration, "paused")
    assert found(settings)["migration.paused"].hint == "`reembed resume` continues it."
    steps.walk(database, migration, "backfilling", "failed")
    assert found(settings)["migration.failed"].hint == "`reembed retry` lets it go on."


def test_vectors_of_the_new_model_need_no_migration(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.walk(database, migration, "indexing", "validating", "ready", "switched", "cleaned")
    vector_storage.remove(database, migration)
    assert found(settings)["model.same"].severity == "error"


def test_a_database_that_is_away_hides_nothing_of_the_rest(settings: Settings) -> None:
    away = SecretStr("postgresql://me:hidden@127.0.0.1:1/nowhere")
    seen = everything(settings, database_url=away, database_direct_url=None)
    assert set(seen) == {"database.unreachable", "provider.answers", *PROCESSES}
    assert "hidden" not in str(seen)


def test_two_addresses_of_different_databases_are_noticed(
    settings: Settings, ready_table: object, stack: Stack
) -> None:
    pooled = {"database_pooler": "transaction", "database_direct_url": SecretStr(settings.database)}
    assert set(found(settings, **pooled)) == SOUND | {"pooler.none"}
    elsewhere = SecretStr(stack.postgres.url())
    with connection.connect(stack.postgres.url(), "test") as other:
        other.execute("CREATE EXTENSION IF NOT EXISTS vector")
    assert found(settings, **pooled, database_url=elsewhere)["pooler.elsewhere"].severity == "error"


def test_a_log_that_cannot_be_archived_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of its own: archiving wants a restart."""
    monkeypatch.setitem(postgres.SETTINGS, "archive_mode", "on")
    monkeypatch.setitem(postgres.SETTINGS, "archive_command", "true")
    server = postgres.Postgres(tmp_path)
    try:
        server.launch()
        server.wait_until_ready()
        with connection.connect(server.url(), "test") as database:

            def fails() -> bool:
                findings = replication.standbys(database, MagicMock(), MagicMock())
                return "replication.archive" in {finding.id for finding in findings}

            assert not fails()
            database.execute("ALTER SYSTEM SET archive_command = 'false'")
            database.execute("SELECT pg_reload_conf()")
            database.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")
            database.execute("SELECT pg_switch_wal()")
            waiting.until(fails, 60)
    finally:
        server.stop()
