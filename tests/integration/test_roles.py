"""docs/security.md, as it stands: the rights it names are enough, and nobody needs more."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from config.settings import Settings
from orchestrator import checks, flag, start
from reembed import errors
from reembed.database import chunks, connection, indexes, ledger, validations
from reembed.database import storage as vector_storage
from reembed.retrieval import Retriever
from tests import installation, steps
from tests import roles as guide
from tests.integration.conftest import BOTH_STORAGES
from tests.roles import Roles

COUNT = 12
pytestmark = BOTH_STORAGES


@pytest.fixture
def roles(database: connection.Connection, settings: Settings) -> Iterator[Roles]:
    documents = sql.Identifier("documents")
    installation.make_table(database, documents, installation.texts(COUNT))
    with guide.made(database, settings.database, documents) as made:
        yield made


def test_a_whole_migration_and_every_search_beside_it_need_no_more_than_the_guide_grants(
    settings: Settings, storage: str, roles: Roles
) -> None:
    ours = settings.model_copy(
        update={"database_url": SecretStr(roles.url_of("migration")), "storage": storage, "chunk_size": 5}
    )
    text = installation.texts(COUNT)[4]
    with (
        connection.connect(ours.database, "test") as database,
        psycopg.connect(roles.url_of("service"), autocommit=True) as service,
        Retriever(ours) as retriever,
    ):

        def search() -> None:
            (hit,) = retriever.search(service, text, top_k=1)
            assert (hit.content, round(hit.similarity, 6)) == (text, 1.0)

        search()
        migration = start.create(database, ours, checks.documents_table(database, ours))
        search()
        vector_storage.expand(database, migration)
        chunks.plan(database, migration)
        ledger.change_state(database, migration, "backfilling")
        steps.embed(ours, ledger.get(database, migration.id), 1, 2, 3)
        steps.walk(database, migration, "indexing", "validating")
        indexes.build_pending(database, migration)
        indexes.build(database, migration, COUNT)
        ledger.change_state(database, ledger.get(database, migration.id), "ready")
        validations.save(database, migration.id, passed=True, report={"documents": COUNT})
        search()
        flag.switch(database, ledger.get(database, migration.id), ours, force=False)
        search()
        flag.cleanup(database, ledger.get(database, migration.id))
        search()


def test_a_service_whose_role_came_after_start_is_told_which_rights_it_wants(
    settings: Settings, storage: str, roles: Roles
) -> None:
    ours = settings.model_copy(
        update={"database_url": SecretStr(roles.url_of("migration")), "storage": storage}
    )
    service_role = roles.names["service"]
    with (
        connection.connect(ours.database, "test") as database,
        psycopg.connect(roles.url_of("service"), autocommit=True) as service,
    ):
        migration = start.create(database, ours, checks.documents_table(database, ours))
        vector_storage.expand(database, migration)
        steps.walk(database, migration, "backfilling", "indexing", "validating", "ready", "switched")
        # Given a role as one that came later
        searched = migration.table.companion or "documents"
        for taken in ("reembed.flags, reembed.models", "SCHEMA reembed", searched):
            database.execute(f'REVOKE ALL ON {taken} FROM "{service_role}"'.encode())

        def refused() -> str:
            with Retriever(ours) as retriever, pytest.raises(errors.Usage) as error:
                retriever.search(service, "anything")
            assert isinstance(error.value.__cause__, psycopg.errors.InsufficientPrivilege)
            return str(error.value)

        def grant(what: str) -> None:
            database.execute(f'GRANT {what} TO "{service_role}"'.encode())

        # When it searches, then it is told what to grant, until it has all of it
        flag_is_hidden = (
            "The database role of this service may not read the flag: permission denied for {}. "
            "GRANT USAGE ON SCHEMA reembed, and SELECT ON reembed.flags and reembed.models, to it."
        )
        assert refused() == flag_is_hidden.format("schema reembed")
        grant("USAGE ON SCHEMA reembed")
        assert refused() == flag_is_hidden.format("view flags")
        grant("SELECT ON reembed.flags, reembed.models")
        tables = f"public.{searched}" if storage == "column" else f"public.documents and public.{searched}"
        assert refused() == (
            "The database role of this service may not search public.documents: "
            f"permission denied for table {searched}. GRANT SELECT ON {tables} to it."
        )
        grant(f"SELECT ON {searched}")
        with Retriever(ours) as retriever:
            assert retriever.search(service, "anything") == []


def test_a_service_may_neither_change_a_document_nor_move_the_flag(
    settings: Settings, storage: str, roles: Roles
) -> None:
    ours = settings.model_copy(
        update={"database_url": SecretStr(roles.url_of("migration")), "storage": storage}
    )
    with connection.connect(ours.database, "test") as database:
        migration = start.create(database, ours, checks.documents_table(database, ours))
        vector_storage.expand(database, migration)
    with psycopg.connect(roles.url_of("service"), autocommit=True) as service:
        for statement in (
            "UPDATE documents SET content = 'mine'",
            "UPDATE reembed.migrations SET state = 'switched'",
            "DELETE FROM reembed.models",
            "SELECT * FROM reembed.failures",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                service.execute(statement.encode())


def test_every_function_of_ours_has_its_search_path_pinned(
    database: connection.Connection, settings: Settings, storage: str
) -> None:
    installation.make_table(database, sql.Identifier("documents"), installation.texts(COUNT))
    changed = settings.model_copy(update={"storage": storage})
    migration = start.create(database, changed, checks.documents_table(database, changed))
    vector_storage.expand(database, migration)
    rows = database.execute(
        "SELECT proname, coalesce(array_to_string(proconfig, ','), '') FROM pg_proc "
        "WHERE pronamespace = 'reembed'::regnamespace"
    ).fetchall()
    assert len(rows) >= 5
    assert [name for name, settings in rows if "search_path=pg_catalog" not in settings] == []
