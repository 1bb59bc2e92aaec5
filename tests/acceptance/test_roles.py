"""The roles of docs/security.md in production: command, workers and control worker have no rights beside those."""

from collections.abc import Callable

import psycopg
from psycopg import sql

from tests import installation, roles
from tests.installation import Installation

TABLES = {"documents": "column", "letters": "companion", "notes": "companion"}
COUNT = 30


def test_a_migration_from_start_to_cleanup_and_an_abort_need_no_more_than_the_guide_grants(
    new_installation: Callable[..., Installation],
) -> None:
    # Given tables that belong to somebody else, and roles as the guide makes them
    made = new_installation(CHUNK_SIZE="10", VALIDATION_SAMPLE="10")
    names = {table: sql.Identifier(table) for table in TABLES}
    with made.connect() as database:
        for name in names.values():
            installation.make_table(database, name, installation.texts(COUNT), indexed=False)
    with made.connect() as database, roles.made(database, made.url, *names.values()) as granted:
        made.environment["DATABASE_URL"] = granted.url_of("migration")
        writer = sql.Identifier(granted.names["service"])
        for name in names.values():
            database.execute(sql.SQL("GRANT INSERT, UPDATE, SELECT ON {} TO {}").format(name, writer))

        def run(*words: str, table: str) -> str:
            answer = made.reembed(*words, DOCUMENTS_TABLE=table, STORAGE=TABLES[table])
            assert answer.code == 0, (table, answer)
            return answer.out

        # When everything that there is to do is done under them, while a service writes
        with made.processes():
            for table in TABLES:
                run("start", table=table)
            with psycopg.connect(granted.url_of("service"), autocommit=True) as service:
                for name in names.values():
                    service.execute(
                        sql.SQL("UPDATE {} SET content = content || ' anew' WHERE id = 7").format(name)
                    )
                    service.execute(sql.SQL("INSERT INTO {} (id, content) VALUES (1, 'new')").format(name))
            run("abort", "--yes", table="notes")
            for table in ("documents", "letters"):
                made.wait_for(lambda status: status["state"] == "ready", DOCUMENTS_TABLE=table)
                run("switch", table=table)
                run("cleanup", "--yes", table=table)

        # Then every vector is right, and what was given up is as it was
        cleaned = ("id", "content", "embedding")
        for table in ("documents", "letters"):
            assert installation.wrong_documents(database, names[table], columns=cleaned) == []
        left = database.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        ).fetchall()
        assert [name for (name,) in left] == ["documents", "letters", "notes"]
        columns = database.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attnum > 0 AND NOT attisdropped"
        ).fetchall()
        assert {name for (name,) in columns} == set(cleaned)
