"""Tables of every kind that reembed says it can move."""

import dataclasses
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg import sql

from tests import installation
from tests.installation import Installation


@dataclass(frozen=True)
class Kind:
    """A table, and the environment that names it."""

    setting: str
    name: sql.Identifier
    key_type: str = "bigint"
    keys: list[Any] | None = None
    columns: tuple[str, str, str] = ("id", "content", "embedding")
    dimensions: int = 64
    environment: dict[str, str] = field(default_factory=dict)


COUNT = 120

KINDS = {
    "bigint keys, 768 dimensions": Kind("wide", sql.Identifier("wide"), dimensions=768),
    "3,072 dimensions, indexed through halfvec": Kind("widest", sql.Identifier("widest"), dimensions=3072),
    "uuid keys": Kind(
        "by_uuid",
        sql.Identifier("by_uuid"),
        "uuid",
        [uuid.uuid5(uuid.NAMESPACE_OID, str(i)) for i in range(COUNT)],
    ),
    "text keys": Kind("by_text", sql.Identifier("by_text"), "text", [f"Ä/{i:04}'\"%s" for i in range(COUNT)]),
    "varchar keys": Kind(
        "by_varchar", sql.Identifier("by_varchar"), "varchar(20)", [f"k{i}" for i in range(COUNT)]
    ),
    "negative and large integer keys": Kind(
        "far", sql.Identifier("far"), "bigint", [-(2**63), *range(-50, 0), *range(2**62, 2**62 + COUNT - 51)]
    ),
    "mixed case, a quote and a dot in the names, in a schema of its own": Kind(
        '"My Schema"."The ""Docs"".v1"',
        sql.Identifier("My Schema", 'The "Docs".v1'),
        columns=("Key", "Full Text", "Old Vector"),
        environment={
            "DOCUMENTS_ID_COLUMN": "Key",
            "DOCUMENTS_CONTENT_COLUMN": "Full Text",
            "OLD_COLUMN": "Old Vector",
            "NEW_COLUMN": "New {Vector} %s",
        },
    ),
}


IN_COMPANIONS = {
    "uuid keys in a companion": dataclasses.replace(
        KINDS["uuid keys"], setting="by_uuid_2", name=sql.Identifier("by_uuid_2")
    ),
    "text keys of another collation in a companion": dataclasses.replace(
        KINDS["text keys"], setting="by_text_2", name=sql.Identifier("by_text_2"), key_type='text COLLATE "C"'
    ),
    "varchar keys, 3,072 dimensions, in a companion": dataclasses.replace(
        KINDS["varchar keys"], setting="by_varchar_2", name=sql.Identifier("by_varchar_2"), dimensions=3072
    ),
    "mixed case, a quote and a dot in the names, in a companion": dataclasses.replace(
        KINDS["mixed case, a quote and a dot in the names, in a schema of its own"],
        setting='"My Schema"."The ""Docs"".v2"',
        name=sql.Identifier("My Schema", 'The "Docs".v2'),
    ),
}


@pytest.mark.parametrize(
    ("kind", "storage"),
    [
        *((kind, "column") for kind in KINDS.values()),
        *((kind, "companion") for kind in IN_COMPANIONS.values()),
    ],
    ids=[*KINDS, *IN_COMPANIONS],
)
def test_a_table_migrates_whatever_its_keys_names_and_dimensions(
    shared: Installation, kind: Kind, storage: str
) -> None:
    environment = {
        "DOCUMENTS_TABLE": kind.setting,
        "EMBED_DIMENSIONS": str(kind.dimensions),
        "STORAGE": storage,
        **kind.environment,
    }
    new = environment.get("NEW_COLUMN", "embedding_v2")
    with shared.connect() as database:
        database.execute('CREATE SCHEMA IF NOT EXISTS "My Schema"')
        installation.make_table(
            database,
            kind.name,
            installation.texts(COUNT),
            key_type=kind.key_type,
            keys=kind.keys,
            columns=kind.columns,
        )
        started = shared.reembed("start", "--wait", **environment)
        assert started.code == 0, started
        filled = (kind.columns[0], kind.columns[1], new)
        assert (
            installation.wrong_documents(database, kind.name, dimensions=kind.dimensions, columns=filled)
            == []
        )
        assert shared.reembed("switch", **environment).code == 0
        assert shared.reembed("cleanup", "--yes", **environment).code == 0
        assert (
            installation.wrong_documents(
                database, kind.name, dimensions=kind.dimensions, columns=kind.columns
            )
            == []
        )


@pytest.mark.parametrize("storage", ["column", "companion"])
def test_a_partitioned_table_migrates_twice_and_its_partitions_are_indexed(
    shared: Installation, storage: str
) -> None:
    table = f"parted_{storage}"
    environment = {"DOCUMENTS_TABLE": table, "STORAGE": storage}
    name = sql.Identifier(table)
    with shared.connect() as database:
        installation.make_table(database, name, installation.texts(COUNT), partition_from=500)
        assert shared.reembed("start", "--wait", **environment).code == 0
        assert installation.wrong_documents(database, name) == []
        assert shared.reembed("switch", **environment).code == 0
        assert shared.reembed("cleanup", "--yes", **environment).code == 0
        rows = database.execute(
            "SELECT count(*) FROM pg_indexes WHERE starts_with(tablename, %s) AND indexdef LIKE '%%hnsw (embedding %%'",
            [f"{table}_"],
        ).fetchall()
        assert rows == [(2,)]
        again = {**environment, "EMBED_MODEL": "lexical-words", "EMBED_DIMENSIONS": "48"}
        assert shared.reembed("start", "--wait", **again).code == 0
        assert installation.wrong_documents(database, name, model="lexical-words", dimensions=48) == []


def test_documents_without_text_are_counted_and_are_no_fault(shared: Installation) -> None:
    environment = {"DOCUMENTS_TABLE": "gappy"}
    contents = [
        None if i % 10 == 0 else "" if i % 10 == 1 else text for i, text in enumerate(installation.texts(100))
    ]
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier("gappy"), contents)
        assert shared.reembed("start", "--wait", **environment).code == 0
        status = shared.status(**environment)
        counted = (status["documents"], status["embedded"], status["without_text"], status["pending"])
        assert counted == (100, 80, 20, 0)


def test_identical_texts_are_embedded_once_in_a_chunk_and_each_document_gets_the_vector(
    shared: Installation,
) -> None:
    environment = {"DOCUMENTS_TABLE": "repeated", "EMBED_DIMENSIONS": "40"}
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier("repeated"), ["always the same words"] * 50)
        before = shared.stack.provider.usage().get("lexical-ngrams", {"texts": 0})["texts"]
        assert shared.reembed("start", "--wait", **environment).code == 0
        # One for the check that the model answers, one for the text, and one for the judgement, which asks again
        assert shared.stack.provider.usage()["lexical-ngrams"]["texts"] - before == 3
        assert installation.wrong_documents(database, sql.Identifier("repeated"), dimensions=40) == []
