"""Names of tables and columns, taken literally."""

import pytest

from reembed.database import queries, table
from reembed.database.table import Table


def documents(*, old: str = "embedding", new: str = "embedding_v2", key_type: str = "bigint") -> Table:
    return Table("public", "documents", "id", "content", old, new, key_type)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("documents", (None, "documents")),
        # No folding
        ("Documents", (None, "Documents")),
        ('"Documents"', (None, "Documents")),
        ("Rag.DOCUMENTS", ("Rag", "DOCUMENTS")),
        ("rag.documents", ("rag", "documents")),
        # Quotes protect a dot, on either side
        ('"my.schema"."my.table"', ("my.schema", "my.table")),
        ('rag."my.table"', ("rag", "my.table")),
        ('"my.schema".documents', ("my.schema", "documents")),
        ('"."', (None, ".")),
        # Doubled quotes
        ('rag."The ""Docs"""', ("rag", 'The "Docs"')),
        ('""""', (None, '"')),
        ('"""a"".b"', (None, '"a".b')),
        # A quote that begins no part is a character like any other
        ('do"cs', (None, 'do"cs')),
        ("with space", (None, "with space")),
        (" documents ", (None, " documents ")),
        ("it's 100%", (None, "it's 100%")),
        ("{table}", (None, "{table}")),
        ("документы.文書", ("документы", "文書")),
    ],
)
def test_a_name_is_read_as_sql_reads_it_but_without_folding(
    text: str, expected: tuple[str | None, str]
) -> None:
    assert table.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a part of it is empty"),
        (".", "a part of it is empty"),
        ("rag.", "a part of it is empty"),
        (".documents", "a part of it is empty"),
        ('""', "a part of it is empty"),
        ('rag.""', "a part of it is empty"),
        ('"rag".', "a part of it is empty"),
        ("a..b", "a part of it is empty"),
        ("a.b.c", "it has 3 parts"),
        ('"a"."b"."c"."d"', "it has 4 parts"),
        ('"', "a double quote is not closed"),
        ('"open', "a double quote is not closed"),
        ('rag."open', "a double quote is not closed"),
        ('"doubled""', "a double quote is not closed"),
        ('"a"b', "there is text after a closing quote"),
        ('"a""b"c', "there is text after a closing quote"),
        ('"a" .b', "there is text after a closing quote"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(table.InvalidTableName) as error:
        table.parse(text)
    assert str(error.value) == (
        f"DOCUMENTS_TABLE={text} is not a table's name: {problem}. "
        'Write table or schema.table; double quotes protect a dot, as in "my.table".'
    )
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("schema", "name", "expected"),
    [
        (None, "documents", '"documents"'),
        ("public", "Documents", '"public"."Documents"'),
        ("my.schema", 'The "Docs"', '"my.schema"."The ""Docs"""'),
        (None, '"', '""""'),
        (None, "100%", '"100%"'),
    ],
)
def test_a_name_is_quoted_for_the_catalog_so_that_it_reads_back_as_it_was(
    schema: str | None, name: str, expected: str
) -> None:
    assert table.quoted(schema, name) == expected
    assert table.parse(expected) == (schema, name)


def test_a_percent_sign_in_a_name_survives_the_binding_of_values() -> None:
    assert queries.identifier("100%").as_string() == '"100%%"'
    assert queries.identifier("a", 'b"c').as_string() == '"a"."b""c"'


@pytest.mark.parametrize(
    ("parts", "derived"),
    [
        (("documents", "embedding_v2", "idx"), "documents_embedding_v2_idx"),
        (("a" * 59, "idx"), "a" * 59 + "_idx"),
        # One byte too many goes from the front, as the end says what the name is for
        (("b" + "a" * 59, "idx"), "a" * 59 + "_idx"),
        (("x" * 60, "embedding_v2", "idx"), "x" * 46 + "_embedding_v2_idx"),
        # Two bytes each: 60 bytes of room hold 29 and a half before "_idx", and half a character is none
        (("ä" * 30, "idx"), "ä" * 29 + "_idx"),
        (("文" * 30, "idx"), "文" * 19 + "_idx"),
    ],
)
def test_a_derived_name_keeps_its_end_in_the_63_bytes_of_an_identifier(
    parts: tuple[str, ...], derived: str
) -> None:
    assert table.derive(*parts) == derived
    assert len(derived.encode()) <= 63


@pytest.mark.parametrize("column", ["v" * 57, "ä" * 28, "文" * 19])
def test_a_new_column_is_taken_as_long_as_its_companions_fit(column: str) -> None:
    assert len(documents(new=column).new_model.encode()) in (62, 63)


@pytest.mark.parametrize("column", ["v" * 58, "ä" * 29, "文" * 20, "v" * 63])
def test_a_new_column_with_no_room_for_its_companions_is_refused(column: str) -> None:
    with pytest.raises(table.NameTooLong) as error:
        documents(new=column)
    assert str(error.value) == (
        f"NEW_COLUMN={column} is too long: {column}_model has more than 63 bytes. "
        "Set NEW_COLUMN to a shorter name."
    )
    assert error.value.exit_code == 2


def test_a_table_knows_its_companions() -> None:
    found = documents()
    assert (found.new_model, found.new_hash) == ("embedding_v2_model", "embedding_v2_hash")
    assert found.new_index == "documents_embedding_v2_idx"
    assert found.pending_index == "documents_embedding_v2_pending_idx"
    assert found.quoted == '"public"."documents"'
    assert str(found) == "public.documents"


def test_every_name_of_a_table_is_quoted_where_a_query_takes_it() -> None:
    names = Table("my.schema", 'The "Docs"', "Id", "100%", "Old", "New", "uuid").names
    assert {key: name.as_string() for key, name in names.items()} == {
        "table": '"my.schema"."The ""Docs"""',
        "id": '"Id"',
        "content": '"100%%"',
        "old": '"Old"',
        "new": '"New"',
        "new_model": '"New_model"',
        "new_hash": '"New_hash"',
        "key_type": "uuid",
        "trigger": '"~reembed"',
        "trigger_function": '"reembed"."stale_my.schema_The ""Docs"""',
        "index": '"The ""Docs""_New_idx"',
        "pending_index": '"The ""Docs""_New_pending_idx"',
    }


@pytest.mark.parametrize("key_type", ["bigint", "uuid", "text"])
def test_a_key_is_cast_to_one_of_three_types(key_type: str) -> None:
    assert documents(key_type=key_type).names["key_type"].as_string() == key_type


def test_a_key_type_from_anywhere_else_never_reaches_a_query() -> None:
    with pytest.raises(KeyError):
        documents(key_type="bigint; DROP TABLE documents")
