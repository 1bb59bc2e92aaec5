"""The rows of the failure matrix in docs/reliability.md that no other file shows, in the durations that it names."""

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from config.settings import Settings
from orchestrator import flag
from orchestrator.embedded.provider import EmbeddingServer
from reembed import errors
from reembed.database import ledger
from reembed.retrieval import Retriever
from tests import installation
from tests.installation import Installation

COUNT = 40
# A command that waits for nobody: most of it is the start of Python, on a machine that has more to do
AT_ONCE = 30.0
# And one that waited for the provider would take so long
PATIENT = {"PROVIDER_TIMEOUT_SECONDS": "90", "PROVIDER_PATIENCE_SECONDS": "90"}
# Requests that were sent before their worker could know of a pause have arrived within so many seconds
ON_THEIR_WAY = 5.0
# Longer than any of these tests
LASTING = 600.0


def make_table(own: Installation, table: str) -> sql.Identifier:
    with own.connect() as database:
        installation.make_table(database, sql.Identifier(table), installation.texts(COUNT))
    return sql.Identifier(table)


def assert_done(own: Installation, table: str) -> None:
    """Ready, every document with the vector of its text, and none said to be at fault."""
    status = own.wait_for(lambda status: status["state"] == "ready", DOCUMENTS_TABLE=table)
    assert (status["embedded"], status["pending"], status["failed"]) == (COUNT, 0, 0)
    with own.connect() as database:
        assert installation.wrong_documents(database, sql.Identifier(table)) == []


def test_401_for_five_seconds_pauses_until_a_person_resumes(
    impatient: Installation, provider: EmbeddingServer, elsewhere: dict[str, str]
) -> None:
    make_table(impatient, "unauthorised")
    variables = {"DOCUMENTS_TABLE": "unauthorised"}
    # When the provider refuses the key, for five seconds from when the workers have noticed
    provider.fail(401, seconds=LASTING, code="invalid_api_key")
    assert impatient.reembed("start", **variables, **elsewhere).code == 0
    paused = impatient.wait_for(lambda status: status["state"] == "paused", **variables)
    # Then the migration is paused, and stays so when the five seconds are over: nobody knows that it is mended
    time.sleep(5)
    provider.recover()
    time.sleep(2)
    still = impatient.status(**variables)
    assert (still["state"], still["embedded"], still["failed"]) == ("paused", 0, 0)
    assert still["waiting_for"] == paused["waiting_for"]
    assert impatient.reembed("resume", **variables).code == 0
    assert_done(impatient, "unauthorised")


def test_429_with_a_retry_after_of_20_seconds_is_waited_out_by_all(
    impatient: Installation, provider: EmbeddingServer, elsewhere: dict[str, str]
) -> None:
    make_table(impatient, "throttled")
    variables = {"DOCUMENTS_TABLE": "throttled"}
    told = time.time()
    # A request takes a moment, so that both workers are on their way when the first is refused
    provider.set_latency(300)
    provider.fail(429, headers={"retry-after": "20"}, code="rate_limit_exceeded")
    assert impatient.reembed("start", **variables, **elsewhere).code == 0
    # Then `status` says who asked for the pause, and how long it lasts
    waiting = impatient.wait_for(
        lambda status: "trying again in" in (status["waiting_for"] or ""), **variables
    )
    assert waiting["state"] == "backfilling"
    # And nobody types anything; and for 20 seconds nobody asks
    assert_done(impatient, "throttled")
    refused, *others = [arrival for arrival in provider.arrivals() if arrival > told]
    until = refused + 0.3 + 20
    # Those that were on their way when it was said have arrived soon after
    assert all(arrival < refused + ON_THEIR_WAY or arrival >= until for arrival in others)
    assert max(others) >= until


def test_503_for_a_minute_parks_the_chunks_and_the_migration_goes_on_by_itself(
    impatient: Installation, provider: EmbeddingServer, elsewhere: dict[str, str]
) -> None:
    make_table(impatient, "parked")
    variables = {"DOCUMENTS_TABLE": "parked"}
    provider.fail(503, seconds=60)
    ends = time.monotonic() + 60
    assert impatient.reembed("start", **variables, **elsewhere).code == 0
    reasons, put_off = set(), 0
    with impatient.connect() as database:
        while time.monotonic() < ends - 2:
            # While the outage lasts longer than the workers' patience, nobody is charged with it
            status = impatient.status(**variables)
            assert (status["state"], status["embedded"], status["failed"]) == ("backfilling", 0, 0)
            assert status["chunks"]["failed"] == 0
            reasons.add((status["waiting_for"] or "").partition(";")[0].rstrip("."))
            ((parked,),) = database.execute(
                "SELECT count(*) FROM reembed.chunks WHERE retry_at IS NOT NULL AND state = 'pending'"
            ).fetchall()
            put_off = max(put_off, parked)
            time.sleep(1)
        strikes = database.execute("SELECT max(strikes) FROM reembed.chunks").fetchall()
    # Then chunks were put off, with the reason, at no attempt's cost but the present one's
    assert put_off > 0
    said = "The provider did not answer properly: The server was told to fail. (status 503)"
    assert reasons - {""} == {said.replace(". (", " (")}
    assert strikes[0][0] <= 1
    # And when the provider is back, nobody has to type anything
    assert_done(impatient, "parked")
    assert time.monotonic() < ends + 90


@pytest.fixture
def editing(impatient: Installation) -> Iterator[str]:
    """A table that is ready, and whose documents somebody edits: workers ask the provider for new vectors."""
    make_table(impatient, "cut over")
    assert impatient.reembed("start", "--wait", DOCUMENTS_TABLE="cut over").code == 0
    yield "cut over"
    with impatient.connect() as database:
        database.execute('DROP TABLE "cut over"')
        database.execute("DELETE FROM reembed.migrations WHERE table_name = 'cut over'")


def slow(provider: EmbeddingServer) -> None:
    """Slower than a command may be."""
    provider.set_latency(60_000)


def failing(provider: EmbeddingServer) -> None:
    provider.fail(503, seconds=LASTING)


@pytest.mark.parametrize("trouble", [slow, failing])
def test_a_slow_or_failing_provider_holds_up_no_verb_of_the_flag_and_holds_no_lock(
    impatient: Installation,
    provider: EmbeddingServer,
    editing: str,
    trouble: Callable[[EmbeddingServer], None],
) -> None:
    variables = {"DOCUMENTS_TABLE": editing}
    with impatient.connect() as database:
        before = len(provider.arrivals())
        trouble(provider)
        # Given workers that have just asked for the vector of an edited document
        database.execute('UPDATE "cut over" SET content = content || %s WHERE id = 7', [" edited"])
        while len(provider.arrivals()) == before:
            time.sleep(0.05)
        # When the verbs of the flag are typed
        for verb in ("switch", "rollback", "switch"):
            began = time.monotonic()
            answer = impatient.reembed(verb, **variables, **PATIENT)
            assert (answer.code, time.monotonic() - began < AT_ONCE) == (0, True), answer
            # Then nobody has a transaction open, and nobody waits for a lock
            assert held(database) == []
        # And cleanup says at once what it would lose
        began = time.monotonic()
        refused = impatient.reembed("cleanup", "--yes", **variables, **PATIENT)
        assert (refused.code, time.monotonic() - began < AT_ONCE) == (1, True), refused
        assert "1 documents still need a vector, so the old column stays." in refused.err
        provider.recover()
        provider.set_latency(0)
        impatient.wait_for(lambda status: status["pending"] == 0, **variables)
        # And where nothing is pending, cleanup needs no provider
        trouble(provider)
        began = time.monotonic()
        cleaned = impatient.reembed("cleanup", "--yes", **variables, **PATIENT)
        assert (cleaned.code, time.monotonic() - began < AT_ONCE) == (0, True), cleaned
        name, columns = sql.Identifier(editing), ("id", "content", "embedding")
        assert installation.wrong_documents(database, name, columns=columns) == []


def test_a_search_waits_for_a_slow_provider_without_a_transaction_and_says_at_once_that_it_fails(
    impatient: Installation, provider: EmbeddingServer, editing: str
) -> None:
    names = {
        **impatient.environment,
        "DOCUMENTS_TABLE": editing,
        "OLD_EMBED_MODEL": installation.OLD_MODEL,
        "OLD_EMBED_DIMENSIONS": str(installation.OLD_DIMENSIONS),
    }
    # An operator's settings are a service's and more
    environment = Settings.model_validate({name.lower(): value for name, value in names.items()})
    query = installation.texts(COUNT)[7]
    with (
        Retriever(environment) as retriever,
        psycopg.connect(impatient.url, application_name="reembed service") as service,
        impatient.connect() as database,
    ):
        # Given a search whose query the provider embeds slowly
        provider.set_latency(2_500)
        found: list[str] = []
        search = threading.Thread(
            target=lambda: found.extend(hit.content for hit in retriever.search(service, query, top_k=1))
        )
        before = len(provider.arrivals())
        search.start()
        while len(provider.arrivals()) == before:
            time.sleep(0.05)
        # When the flag moves meanwhile, sooner than a command starts
        flag.switch(database, ledger.latest(database, "public", editing), environment, force=True)
        assert (held(database), search.is_alive()) == ([], True)
        search.join()
        # Then the search ends by the side that it began with
        assert found == [query]
        # And a provider that fails is an error of this search, not a wait
        provider.set_latency(0)
        provider.fail(503, seconds=LASTING)
        before = len(provider.arrivals())
        with pytest.raises(errors.ProviderUnavailable):
            retriever.search(service, query)
        assert len(provider.arrivals()) - before == 1
        assert held(database) == []


def test_a_text_that_another_trigger_rewrites_ends_with_the_vector_of_what_it_became(
    impatient: Installation,
) -> None:
    name, variables = make_table(impatient, "rewritten"), {"DOCUMENTS_TABLE": "rewritten"}
    with impatient.connect() as database:
        # Given a trigger of the application's that rewrites texts, at our own writes, too
        database.execute(
            """
            CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN NEW.content := replace(NEW.content, 'number', 'figure'); RETURN NEW; END $$;
            CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON rewritten FOR EACH ROW EXECUTE FUNCTION tidy();
            ALTER TABLE rewritten ADD COLUMN seen integer;
            """
        )
        assert impatient.reembed("start", "--wait", **variables).code == 0
        assert_done(impatient, "rewritten")
        # When texts change in ways that do not name them
        database.execute("ALTER TABLE rewritten DISABLE TRIGGER tidy")
        database.execute("UPDATE rewritten SET content = replace(content, 'figure', 'number') WHERE id <= 70")
        impatient.wait_for(lambda status: status["pending"] == 0, **variables)
        database.execute("ALTER TABLE rewritten ENABLE TRIGGER tidy")
        database.execute("UPDATE rewritten SET seen = 1")
        database.execute("INSERT INTO rewritten (id, content) VALUES (1, 'written as a number')")
        impatient.wait_for(lambda status: status["pending"] == 0, **variables)
        # Then each vector is that of the text which stands there
        texts = database.execute("SELECT count(*) FROM rewritten WHERE content LIKE '%figure%'").fetchall()
        assert texts == [(COUNT + 1,)]
        assert installation.wrong_documents(database, name) == []


def held(database: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Sessions of ours that have a transaction open for more than a moment, and everybody who waits for a lock."""
    return database.execute(
        """
        SELECT application_name, state, query FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()
           AND (wait_event_type = 'Lock' AND wait_event <> 'advisory'
                OR application_name LIKE 'reembed%%' AND clock_timestamp() - xact_start > interval '0.3 s')
        """
    ).fetchall()
