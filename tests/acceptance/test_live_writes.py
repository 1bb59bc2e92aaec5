"""An application writes in every way it can, in every state of a migration: each document ends with its own vector."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from orchestrator.embedding_server import models
from tests import installation
from tests.installation import Installation

DOCUMENTS = sql.Identifier("documents")
OLD = {"OLD_EMBED_MODEL": installation.OLD_MODEL}
TITLE_TRIGGER = """
ALTER TABLE documents ADD COLUMN title text;
CREATE FUNCTION put_title_first() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.content := NEW.title || ' ' || NEW.content; RETURN NEW; END $$;
CREATE TRIGGER title_first BEFORE UPDATE OF title ON documents FOR EACH ROW EXECUTE FUNCTION put_title_first()
"""


@pytest.fixture(params=["column", "companion"])
def own(
    new_installation: Callable[..., Installation], request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """600 documents in chunks of 100, embedded ten at a time, and an old model that answers."""
    made = new_installation(
        CHUNK_SIZE="100", EMBED_BATCH_SIZE="10", EMBED_CONCURRENCY="2", STORAGE=request.param, **OLD
    )
    with made.connect() as database:
        installation.make_table(database, DOCUMENTS, installation.texts(600))
        database.execute(TITLE_TRIGGER)
    try:
        yield made
    finally:
        made.stack.provider.set_latency(0)


def write_in_every_way(own: Installation, era: int) -> None:
    """Ten documents of its own for each era; afterwards one of them is gone and one has no text."""
    first = 7 * (1 + 50 * era)
    ids = [first + 7 * step for step in range(10)]
    words = f"words of era {era}"
    with psycopg.connect(own.url, autocommit=True) as application:
        with application.cursor() as cursor, cursor.copy("COPY documents (id, content) FROM STDIN") as copy:
            for step in range(5):
                copy.write_row((first + step + 1, f"copied {step} {words}"))
        application.execute(
            "INSERT INTO documents (id, content) SELECT id, 'inserted ' || id || %s FROM unnest(%s::bigint[]) id",
            [words, [100_000 + era, 200_000 + era]],
        )
        application.execute(
            "UPDATE documents SET content = content || %s WHERE id = ANY(%s)", [words, ids[:3]]
        )
        application.execute(
            "INSERT INTO documents (id, content) VALUES (%s, %s) "
            "ON CONFLICT (id) DO UPDATE SET content = EXCLUDED.content",
            [ids[3], f"upserted {words}"],
        )
        # The SET list does not name the text; the application's own trigger rewrites it
        application.execute("UPDATE documents SET title = %s WHERE id = %s", [words, ids[4]])
        application.execute("DELETE FROM documents WHERE id = %s", [ids[5]])
        application.execute("UPDATE documents SET content = '' WHERE id = %s", [ids[6]])
        with application.transaction():
            application.execute("SET LOCAL session_replication_role = replica")
            application.execute(
                "UPDATE documents SET content = %s WHERE id = %s", [f"replicated {words}", ids[7]]
            )
        # A service that embeds by itself, says from which text and by which model, and gets its own vector kept:
        # twice as long as ours would be, so that it can be told
        own_text = f"self-made {words}"
        own_vector = 2 * models.embed(installation.NEW_MODEL, [own_text], installation.NEW_DIMENSIONS)[0]
        provenance = (
            "embedding_v2 = %(vector)s::vector, embedding_v2_hash = md5(%(text)s)::uuid, "
            "embedding_v2_model = (SELECT new_model FROM reembed.migrations)"
        )
        values = {"text": own_text, "id": ids[8], "vector": str(own_vector.tolist())}
        companion = installation.companion_of(application, DOCUMENTS)
        if companion is None:
            application.execute(
                f"UPDATE documents SET content = %(text)s, {provenance} WHERE id = %(id)s", values
            )
        else:
            with application.transaction():
                application.execute("UPDATE documents SET content = %(text)s WHERE id = %(id)s", values)
                application.execute(
                    sql.SQL("UPDATE {} SET ").format(companion) + sql.SQL(f"{provenance} WHERE id = %(id)s"),
                    values,
                )


def test_whatever_an_application_writes_in_any_state_ends_with_the_vector_of_its_text_in_both_columns(
    own: Installation,
) -> None:
    provider = own.stack.provider
    with own.processes(workers=2), own.connect() as database:
        # Slow enough for a command to be typed meanwhile
        provider.set_latency(500)
        assert own.reembed("start").code == 0
        own.wait_for(lambda status: status["embedded"] >= 50)
        write_in_every_way(own, era=0)
        assert own.reembed("pause").code == 0
        write_in_every_way(own, era=1)
        # An older transaction holds the index up, as long as it is open
        with psycopg.connect(own.url) as older:
            vectors = installation.companion_of(database, DOCUMENTS) or DOCUMENTS
            older.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(vectors))
            assert own.reembed("resume").code == 0
            own.wait_for(lambda status: status["waiting_for"] == "the index on pending documents")
            write_in_every_way(own, era=2)
            # What was written meanwhile has to be caught up with: slowly
            provider.set_latency(1_500)
        # As what is written while the index on the vectors is built has to be, before the judgement
        own.wait_for(lambda status: status["chunks"]["done"] >= 6 and status["chunks"]["running"] > 0)
        write_in_every_way(own, era=3)
        provider.set_latency(0)
        own.wait_for(lambda status: status["state"] == "ready")
        write_in_every_way(own, era=4)
        own.wait_for(lambda status: status["pending"] == 0)
        # Nobody but the application wrote the old column until here
        without = database.execute("SELECT count(*) FROM documents WHERE embedding IS NULL").fetchone()
        assert without is not None
        assert without[0] >= 30
        assert own.reembed("switch").code == 0
        write_in_every_way(own, era=5)
        settled = own.wait_for(
            lambda status: status["pending"] == 0 and not status["old_hidden"] and not status["old_stale"]
        )
        assert settled["lag_seconds"] is not None
        self_made = {7 * (1 + 50 * era) + 7 * 8 for era in range(6)}
        # Then every document has the vector of its text, and the service's own vectors are untouched
        assert set(installation.wrong_documents(database, DOCUMENTS)) == self_made
        kept = sql.SQL(
            "SELECT count(*) FROM documents d JOIN {} v ON v.id = d.id "
            "WHERE d.content LIKE 'self-made%' AND vector_norm(v.embedding_v2) > 1.9"
        ).format(installation.companion_of(database, DOCUMENTS) or DOCUMENTS)
        assert database.execute(kept).fetchone() == (6,)
        # And so it is in the old column: going back hides nothing
        old = installation.wrong_documents(
            database, DOCUMENTS,
            model=installation.OLD_MODEL, dimensions=installation.OLD_DIMENSIONS,
            columns=("id", "content", "embedding"),
        )  # fmt: skip
        assert old == []
        # A text that is gone is not pending and no fault
        assert own.reembed("validate").code == 0
        assert own.reembed("validate", "--json").json["without_text"] == 6
        back = own.reembed("rollback")
        assert (back.code, back.out.count("\n")) == (0, 1)
