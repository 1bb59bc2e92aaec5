"""Names of tables and columns, taken literally."""

import pytest
from psycopg import sql

from reembed.database import queries, table
from reembed.database.table import Table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("documents", (None, "documents")),
        ("Documents", (None, "Documents")),
        ("rag.documents", ("rag", "documents")),
        ('"my.schema"."my.table"', ("my.schema", "my.table")),
        ('rag."The ""Docs"""', ("rag", 'The "Docs"')),
        ('"with space"', (None, "with space")),
        ("it's 100%", (None, "it's 100%")),
    ],
)
def test_a_name_is_read_as_sql_reads_it_but_without_folding(
    text: str, expected: tuple[str | None, str]
) -> None:
    assert table.parse(text) == expected
    assert table.parse(table.written(*expected)) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a part of it is empty"),
        ("rag.", "a part of it is empty"),
        (".documents", "a part of it is empty"),
        ('""', "a part of it is empty"),
        ("a.b.c", "it has 3 parts"),
        ('"open', "a double quote is not closed"),
        ('"a"b', "there is text after a closing quote"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(table.InvalidTableName) as error:
        table.parse(text)
    assert str(error.value) == (
        f"DOCUMENTS_TABLE={text} is not a table's name: {problem}. "
        'Write table or schema.table; double quotes protect a dot, as in "my.table".'
    )


def test_a_name_is_quoted_for_the_catalog() -> None:
    assert table.quoted("my.schema", 'The "Docs"') == '"my.schema"."The ""Docs"""'
    assert table.quoted(None, "documents") == '"documents"'


def test_a_percent_sign_in_a_name_survives_the_binding_of_values() -> None:
    assert queries.identifier("100%").as_string() == '"100%%"'


def test_derived_names_fit_and_stay_apart_however_alike_their_parts_read() -> None:
    assert table.derive("documents", "embedding_v2", "idx").startswith("documents_embedding_v2_idx_")
    parts = [("x" * 60, "a"), ("x" * 60, "b"), ("a_b", "c"), ("a", "b_c"), ("ä" * 60, "a"), ("ä" * 60, "b")]
    names = {table.derive(*each) for each in parts}
    assert len(names) == len(parts)
    assert all(len(name.encode()) <= 63 for name in names)


def test_a_new_column_with_no_room_for_its_companions_is_refused() -> None:
    with pytest.raises(
        table.NameTooLong, match=r"NEW_COLUMN=v{60} is too long: v{60}_model has more than 63 bytes"
    ):
        Table("public", "documents", "id", "content", "embedding", "v" * 60, "bigint")


def test_an_old_column_with_no_room_for_what_cleanup_puts_beside_it_is_refused() -> None:
    with pytest.raises(
        table.NoRoomBesideOldColumn, match=r"`cleanup` would need o{60}_model, more than 63 bytes"
    ):
        Table("public", "documents", "id", "content", "o" * 60, "embedding_v2", "bigint")


@pytest.mark.parametrize("new", ["embedding", "content", "embedding_model"])
def test_a_new_column_whose_name_something_else_will_have_is_refused(new: str) -> None:
    with pytest.raises(table.NameTaken, match=f"NEW_COLUMN={new} cannot be used: {new} would be two columns"):
        Table("public", "documents", "id", "content", "embedding", new, "bigint")


def test_a_table_knows_its_companions() -> None:
    documents = Table("public", "documents", "id", "content", "embedding", "embedding_v2", "uuid")
    assert (documents.new_model, documents.new_hash) == ("embedding_v2_model", "embedding_v2_hash")
    assert documents.new_index == table.derive("documents", "embedding_v2", "idx")
    assert documents.names["key_type"] == sql.SQL("uuid")
    assert str(documents) == "public.documents"
