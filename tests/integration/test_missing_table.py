"""A table that is not there: what is there under nearly that name is said."""

import pytest

from config.settings import Settings
from orchestrator import checks
from orchestrator.command import session
from reembed.database import fitness
from reembed.database.connection import Connection

OTHERS = """
CREATE TABLE documents (id bigint);
CREATE SCHEMA app;
CREATE TABLE app.invoices (id bigint);
CREATE TABLE app."odd.name" (id bigint);
CREATE TABLE measured (at date) PARTITION BY RANGE (at);
CREATE TABLE measured_2026 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE VIEW document AS SELECT * FROM documents;
"""


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("nowhere", ""),
        ("Documents", ", but there is documents"),
        ("public.Documents", ", but there is documents"),
        # A view cannot be migrated
        ("document", ", but there is documents"),
        ("invoices", ", but there is app.invoices"),
        ("odd-name", ', but there is app."odd.name"'),
        # A partition is none that could be meant
        ("measured_202", ", but there is measured"),
        ("pg_clas", ""),
    ],
)
def test_a_table_that_is_not_there_is_told_with_the_one_that_was_meant(
    database: Connection, settings: Settings, name: str, near: str
) -> None:
    database.execute(OTHERS.encode())
    missing = settings.model_copy(update={"documents_table": name})
    with pytest.raises(fitness.NoTable) as error:
        checks.documents_table(database, missing)
    assert str(error.value) == says(name, near)


def test_a_command_about_a_migration_says_the_same(database: Connection, settings: Settings) -> None:
    database.execute(OTHERS.encode())
    with pytest.raises(fitness.NoTable) as error:
        session.migration_of(database, settings.model_copy(update={"documents_table": "Documents"}))
    assert str(error.value) == says("Documents", ", but there is documents")


def says(name: str, near: str) -> str:
    return (
        f"There is no table {name}{near}. "
        "Set DOCUMENTS_TABLE; names are taken literally, upper and lower case matter."
    )
