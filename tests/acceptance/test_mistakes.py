"""Mistakes that a person makes: one clear line, exit code 2 (or 1 for a gate that says no), and nothing left behind."""

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg import sql

from tests import installation
from tests.installation import Installation


@dataclass(frozen=True)
class Mistake:
    says: str
    environment: dict[str, str] = field(default_factory=dict)
    before: str = "SELECT"


MISTAKES = {
    "no such table": Mistake(
        "There is no table nowhere. Set DOCUMENTS_TABLE; names are taken literally, upper and lower case matter.",
        {"DOCUMENTS_TABLE": "nowhere"},
    ),
    "a table without the old column": Mistake(
        "The table public.documents has no column vectors; it has id, content, embedding. Set OLD_COLUMN.",
        {"OLD_COLUMN": "vectors"},
    ),
    "an old column that is no vector": Mistake(
        "The column content of public.documents is of type text, and reembed needs a vector or halfvec. "
        "Set OLD_COLUMN.",
        {"OLD_COLUMN": "content"},
    ),
    "a key that is not unique": Mistake(
        "The column content of public.documents is not unique and NOT NULL by an index of its own. "
        "Set DOCUMENTS_ID_COLUMN to the primary key, or create a unique index.",
        {"DOCUMENTS_ID_COLUMN": "content"},
    ),
    "an empty table": Mistake(
        "The table public.documents is empty: there is nothing to embed. "
        "Set DOCUMENTS_TABLE to the table that the service searches.",
        before="TRUNCATE documents",
    ),
    "a new column that is somebody else's": Mistake(
        "The table public.documents already has a column embedding_v2, and no migration of ours made it. "
        "Set NEW_COLUMN to a free name, or rename the column.",
        before="ALTER TABLE documents ADD COLUMN embedding_v2 text",
    ),
    "a model column of the user's own beside the old vectors": Mistake(
        "already has a column embedding_model, and no migration of ours made it.",
        before="ALTER TABLE documents ADD COLUMN embedding_model text",
    ),
    "a new column under the old one's name": Mistake(
        "NEW_COLUMN=embedding cannot be used: embedding would be two columns. Set NEW_COLUMN to another name.",
        {"NEW_COLUMN": "embedding"},
    ),
    "an old model of unknown width": Mistake(
        "The column embedding has no width of its own, so nobody knows how many dimensions lexical-words has. "
        "Set OLD_EMBED_DIMENSIONS.",
        {"OLD_EMBED_MODEL": "lexical-words"},
        before="ALTER TABLE documents ALTER embedding TYPE vector",
    ),
    "the old model for the new one": Mistake(
        "EMBED_MODEL and OLD_EMBED_MODEL are the same, lexical-words (32), so there is nothing to move. "
        "Set EMBED_MODEL to the new model; to have every vector made anew by this one, unset OLD_EMBED_MODEL.\n",
        {"EMBED_MODEL": "lexical-words", "EMBED_DIMENSIONS": "32", "OLD_EMBED_MODEL": "lexical-words"},
    ),
    "no pgvector": Mistake(
        "The database has no pgvector. Run CREATE EXTENSION vector in it, as a role that may.",
        before="DROP EXTENSION vector CASCADE",
    ),
    "too many dimensions for an index": Mistake(
        "5,000 dimensions cannot be indexed: pgvector's limit is 4,000. "
        "Set EMBED_DIMENSIONS to less, or INDEX_METHOD=none.",
        {"EMBED_DIMENSIONS": "5000"},
    ),
    "a setting that is no number": Mistake(
        "EMBED_DIMENSIONS cannot be used: Input should be a valid integer, unable to parse string as an integer. "
        "Set it in the environment and try again.",
        {"EMBED_DIMENSIONS": "many"},
    ),
    "a database that does not answer": Mistake(
        "The database at 127.0.0.1:1/nowhere cannot be reached: ",
        {"DATABASE_URL": "postgresql://me:hidden@127.0.0.1:1/nowhere"},
    ),
    "a broker that does not answer": Mistake(
        "The broker at redis://127.0.0.1:1/0 cannot be reached: ",
        {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"},
    ),
    "a result backend that does not answer": Mistake(
        "The result backend at 127.0.0.1:1/0 cannot be reached: ",
        {"CELERY_RESULT_BACKEND": "redis://:hidden@127.0.0.1:1/0"},
    ),
    "a generated text": Mistake(
        "The column content of public.documents is of type a generated one, and reembed needs text.",
        before=(
            "ALTER TABLE documents DROP COLUMN content, "
            "ADD COLUMN content text GENERATED ALWAYS AS ('document ' || id::text) STORED"
        ),
    ),
    "a provider that does not answer": Mistake(
        "The provider at http://127.0.0.1:1/v1 cannot be reached: ",
        {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"},
    ),
    "a slice column that is not there": Mistake(
        "The table public.documents has no column tenant; it has id, content, embedding. Set VALIDATION_SLICE_COLUMN.",
        {"VALIDATION_SLICE_COLUMN": "tenant"},
    ),
    "a wrong key": Mistake("refused the API key", {"OPENAI_API_KEY": "sk-hidden-and-wrong"}),
    "an unknown model": Mistake("does not serve the model no-such-model", {"EMBED_MODEL": "no-such-model"}),
    "a dimension that the model does not have": Mistake(
        "Check EMBED_MODEL and EMBED_DIMENSIONS.", {"EMBED_MODEL": "wordllama-256", "EMBED_DIMENSIONS": "300"}
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_gets_one_clear_line_and_leaves_nothing_behind(
    new_installation: Callable[..., Installation], mistake: Mistake
) -> None:
    own = new_installation()
    with own.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(20), indexed=False)
        database.execute(sql.SQL(mistake.before))
        before = everything(database)
        answer = own.reembed("start", **mistake.environment)
        assert answer.code == 2, answer
        assert answer.out == ""
        assert answer.err.count("\n") == 1
        assert answer.err.startswith("reembed: ")
        assert mistake.says in answer.err
        assert "hidden" not in answer.err
        assert everything(database) == before


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("strat",), "reembed: No such command 'strat'. Try `reembed --help`.\n"),
        (("start", "--wiat"), "Try `reembed start --help`.\n"),
        (("validate", "--sample", "many"), "Try `reembed validate --help`.\n"),
    ],
)
def test_a_typing_error_gets_one_line_that_says_where_to_look(
    shared: Installation, typed: tuple[str, ...], says: str
) -> None:
    answer = shared.reembed(*typed)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.endswith(says)


def test_starting_twice_does_not_start_two_migrations(shared: Installation) -> None:
    environment = {"DOCUMENTS_TABLE": "twice"}
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier("twice"), installation.texts(80))
        with shared.begin("start", **environment) as first, shared.begin("start", **environment) as second:
            both = (first, second)
            outs = [process.communicate(timeout=60)[0] for process in both]
        assert sorted(process.returncode for process in both) in ([0, 0], [0, 1]), outs
        third = shared.reembed("start", "--wait", **environment)
        assert (third.code, "under way already" in third.out) == (0, True), third
        rows = database.execute(
            "SELECT count(*) FROM reembed.migrations WHERE table_name = 'twice'"
        ).fetchall()
        assert rows == [(1,)]
        # And one to another model is refused while this one stands
        other = shared.reembed("start", EMBED_DIMENSIONS="65", **environment)
        assert other.code == 1
        assert "to lexical-ngrams (64) is under way (ready). `reembed status` shows it" in other.err


def test_the_verbs_of_the_flag_are_refused_out_of_order_with_the_reason(
    shared: Installation, elsewhere: dict[str, str]
) -> None:
    environment = {"DOCUMENTS_TABLE": "orderly"}
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier("orderly"), installation.texts(60))
        nothing = shared.reembed("switch", **environment)
        assert (nothing.code, "There is no migration of public.orderly." in nothing.err) == (1, True), nothing
        try:
            # Given workers that get no answer for as long as the command takes
            shared.stack.provider.fail(503, seconds=600)
            assert shared.reembed("start", **environment, **elsewhere).code == 0
            early = shared.reembed("switch", **environment)
            assert early.code == 1
            assert "is backfilling, not ready: 60 documents still need a vector." in early.err
        finally:
            shared.stack.provider.recover()
        assert shared.reembed("start", "--wait", **environment).code == 0
        for verb, says in (
            ("rollback", "cannot roll back"),
            ("cleanup", "cannot clean up"),
            ("resume", "cannot resume"),
        ):
            refused = shared.reembed(verb, **environment)
            assert (refused.code, says in refused.err) == (1, True), refused


def test_cleanup_is_refused_while_a_view_reads_the_old_column(shared: Installation) -> None:
    environment = {"DOCUMENTS_TABLE": "viewed"}
    with shared.connect() as database:
        installation.make_table(database, sql.Identifier("viewed"), installation.texts(60))
        database.execute("CREATE VIEW looking AS SELECT id, embedding FROM viewed")
        assert shared.reembed("start", "--wait", **environment).code == 0
        assert shared.reembed("switch", **environment).code == 0
        refused = shared.reembed("cleanup", "--yes", **environment)
        assert refused.code == 1
        assert "The column embedding cannot be dropped: public.looking read it." in refused.err


def everything(database: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Every relation, column, function and trigger that somebody made."""
    return database.execute(
        """
        SELECT 'column', attrelid::regclass::text, attname FROM pg_attribute
         WHERE attrelid::regclass::text NOT LIKE ALL ('{pg_%,information_schema%}') AND NOT attisdropped
        UNION ALL SELECT 'function', pronamespace::regnamespace::text, proname FROM pg_proc
         WHERE pronamespace::regnamespace::text NOT LIKE ALL ('{pg_%,information_schema%}')
        UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname FROM pg_trigger
        UNION ALL SELECT 'schema', nspname, '' FROM pg_namespace
         ORDER BY 1, 2, 3
        """
    ).fetchall()
