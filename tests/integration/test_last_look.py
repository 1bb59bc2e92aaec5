"""`cleanup` cannot be undone, and nobody looks afterwards: so it looks at every document, whatever the triggers did."""

import pytest

from config.settings import Settings
from orchestrator import advance, flag, homecoming
from reembed.database import chunks, documents, indexes, ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, steps
from tests.integration.conftest import BOTH_STORAGES, DOCUMENTS

pytestmark = [BOTH_STORAGES, pytest.mark.usefixtures("nothing_published")]


def write_unnoticed(database: Connection, storage: str) -> None:
    """As `pg_restore --disable-triggers` and other loaders do; when they are done, the triggers stand as before."""
    with database.transaction():
        database.execute("ALTER TABLE documents DISABLE TRIGGER ALL")
        database.execute("UPDATE documents SET content = 'changed words' WHERE id = 7")
        if storage == "companion":
            # In the table itself a new document is pending whoever notices it
            database.execute("INSERT INTO documents (id, content) VALUES (1000, 'new words')")
        database.execute("ALTER TABLE documents ENABLE TRIGGER ALL")
        database.execute(
            "UPDATE pg_trigger SET tgenabled = 'A' "
            "WHERE tgrelid = 'documents'::regclass AND tgname LIKE '~reembed%%'",
            {},
        )


@pytest.fixture
def switched(database: Connection, settings: Settings, migration: Migration) -> Migration:
    steps.embed(settings, migration, 1, 2, 3)
    indexes.build_pending(database, migration)
    indexes.build(database, migration, 12)
    return steps.walk(database, migration, "indexing", "validating", "ready", "switched")


def test_cleanup_finds_what_no_trigger_noticed_and_goes_on_when_it_has_its_vector(
    database: Connection,
    settings: Settings,
    switched: Migration,
    storage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(homecoming, "_PATIENCE_SECONDS", 0.1)
    write_unnoticed(database, storage)
    assert documents.count_pending(database, switched) == 0
    with pytest.raises((flag.StillPending, homecoming.NotAllHome), match=r"[12] documents still need"):
        flag.cleanup(database, switched)
    # When they are caught up with
    chunks.plan_catch_up(database, ledger.get(database, switched.id))
    steps.embed(settings, switched, 4)
    flag.cleanup(database, ledger.get(database, switched.id))
    assert ledger.get(database, switched.id).state == "cleaned"
    columns = ("id", "content", "embedding")
    assert installation.wrong_documents(database, DOCUMENTS, columns=columns) == []
    ((unlike,),) = database.execute(
        "SELECT count(*) FROM documents WHERE embedding_hash IS DISTINCT FROM md5(content)::uuid"
    ).fetchall()
    assert unlike == 0


def test_the_end_of_a_backfill_finds_what_was_written_while_the_triggers_were_off(
    database: Connection, settings: Settings, migration: Migration, storage: str
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    write_unnoticed(database, storage)
    advance.advance(database, settings, migration.id)
    # Then chunks are planned for it, and the index waits
    assert ledger.get(database, migration.id).state == "backfilling"
    steps.embed(settings, migration, *range(4, 4 + chunks.count(database, migration.id).pending))
    assert installation.wrong_documents(database, DOCUMENTS) == []
    assert documents.census(database, ledger.get(database, migration.id)).stale == 0
