"""Faults that no waiting mends: the migration stops with the reason, condemns nobody, and goes on once mended."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from psycopg import sql

from orchestrator.embedded.provider import EmbeddingServer
from reembed.database import connection
from tests import installation
from tests.installation import NEW_MODEL, Installation

# Longer than any test: the fault lasts until somebody mends it
LASTING = 600.0

KEY = "Set OPENAI_API_KEY to a key that may use the model."
QUOTA = "Waiting does not mend this; raise the quota with the provider."
MODEL = "Set EMBED_MODEL to one it serves"
WIDTH = "Check EMBED_MODEL and EMBED_DIMENSIONS."
ADDRESS = "Check OPENAI_BASE_URL."


@dataclass(frozen=True)
class Fault:
    begin: Callable[[EmbeddingServer], None]
    says: str
    mend: str
    end: Callable[[EmbeddingServer], None] = EmbeddingServer.recover


def status(number: int, code: str | None = None) -> Callable[[EmbeddingServer], None]:
    return lambda provider: provider.fail(number, seconds=LASTING, code=code)


def lie(how: str) -> Callable[[EmbeddingServer], None]:
    return lambda provider: provider.spoil(how, seconds=LASTING)


FAULTS = {
    "401": Fault(status(401), "refused the API key: The server was told to fail (status 401)", KEY),
    "403": Fault(status(403), "refused the API key: The server was told to fail (status 403)", KEY),
    "an unknown model": Fault(
        lambda provider: provider.retire(NEW_MODEL),
        "does not serve the model lexical-ngrams: This model `lexical-ngrams` has been deprecated",
        MODEL,
        lambda provider: provider.restore(NEW_MODEL),
    ),
    "a spent quota": Fault(
        status(429, "insufficient_quota"), "is spent: The server was told to fail (status 429)", QUOTA
    ),
    "no money": Fault(status(402), "is spent: The server was told to fail (status 402)", QUOTA),
    "a wrong dimension": Fault(lie("narrow"), "a vector has 63 dimensions, not 64", WIDTH),
    "NaN": Fault(lie("nan"), "a vector has NaN or infinite values", WIDTH),
    "an infinite value": Fault(lie("infinite"), "a vector has NaN or infinite values", WIDTH),
    "a vector too few": Fault(lie("fewer"), "4 vectors for 5 texts", WIDTH),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_that_no_waiting_mends_stops_the_migration_with_the_reason_and_resume_goes_on(
    impatient: Installation, provider: EmbeddingServer, elsewhere: dict[str, str], kind: str
) -> None:
    fault, table = FAULTS[kind], f"stopped by {kind}"
    variables = {"DOCUMENTS_TABLE": table}
    with impatient.connect() as database:
        installation.make_table(database, sql.Identifier(table), installation.texts(40), indexed=False)
        # Given a fault that begins once `start` has seen the model answer
        fault.begin(provider)
        try:
            assert impatient.reembed("start", **variables, **elsewhere).code == 0
            # Then the migration is paused, and says why and what to type
            paused = impatient.wait_for(stopped, **variables)
            assert fault.says in paused["waiting_for"]
            assert fault.mend.rstrip(".") in paused["waiting_for"]
            assert paused["waiting_for"].endswith("; `reembed resume` continues")
            # And nobody is condemned, and nothing was written
            assert (paused["embedded"], paused["pending"], paused["failed"]) == (0, 40, 0)
            assert paused["chunks"] == {"pending": 2, "running": 0, "done": 0, "failed": 0}
            assert recorded(database) == 0
            assert vectors(database, table) == 0
        finally:
            fault.end(provider)
        # When the cause is mended
        resumed = impatient.reembed("resume", **variables)
        assert resumed.code == 0, resumed
        finished = impatient.wait_for(lambda status: status["state"] == "ready", **variables)
        assert (finished["embedded"], finished["failed"], finished["waiting_for"]) == (40, 0, None)
        assert installation.wrong_documents(database, sql.Identifier(table)) == []


@pytest.fixture
def plain_http() -> Iterator[int]:
    """The port of a server that speaks HTTP, and answers a TLS handshake by it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_an_address_where_nobody_answers_or_speaks_tls_stops_the_migration_and_mending_it_goes_on(
    new_installation: Callable[..., Installation], plain_http: int
) -> None:
    own = new_installation(CHUNK_SIZE="20", EMBED_BATCH_SIZE="5")
    good = own.environment["OPENAI_BASE_URL"]
    addresses = {
        "http://127.0.0.1:1/v1": "at http://127.0.0.1:1/v1 cannot be reached: [Errno 111] Connection refused.",
        f"https://127.0.0.1:{plain_http}/v1": "cannot be reached: [SSL",
    }
    with own.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(40), indexed=False)
        begin = "start"
        for address, says in addresses.items():
            # Given workers that were started with an address of no use
            own.environment["OPENAI_BASE_URL"] = address
            with own.processes():
                assert own.reembed(begin, OPENAI_BASE_URL=good).code == 0
                # Then the migration is paused, and says why and what to type
                paused = own.wait_for(stopped)
                assert says in paused["waiting_for"]
                assert paused["waiting_for"].endswith(f" {ADDRESS.rstrip('.')}; `reembed resume` continues")
                # And nobody is condemned, and nothing was written
                assert (paused["embedded"], paused["pending"], paused["failed"]) == (0, 40, 0)
                assert (recorded(database), vectors(database, "documents")) == (0, 0)
            begin = "resume"
        # When the address is mended
        own.environment["OPENAI_BASE_URL"] = good
        with own.processes():
            assert own.reembed("resume").code == 0
            own.wait_for(lambda status: status["state"] == "ready")
        assert installation.wrong_documents(database, sql.Identifier("documents")) == []


def stopped(status: dict[str, object]) -> bool:
    """Paused, and every worker has noticed."""
    chunks = status["chunks"]
    assert isinstance(chunks, dict)
    return status["state"] == "paused" and chunks["running"] == 0


def recorded(database: connection.Connection) -> int:
    """Documents that are said to be at fault themselves."""
    ((count,),) = database.execute("SELECT count(*) FROM reembed.failures").fetchall()
    return int(count)


def vectors(database: connection.Connection, table: str) -> int:
    count = sql.SQL("SELECT count(embedding_v2) FROM {}").format(sql.Identifier(table))
    ((found,),) = database.execute(count).fetchall()
    return int(found)
