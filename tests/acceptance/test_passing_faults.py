"""Faults that pass: the provider is asked again until it answers, and left alone by everybody while it asks for it."""

import itertools
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest
from psycopg import sql

from orchestrator.embedded.provider import EmbeddingServer
from orchestrator.validation import again
from tests import installation
from tests.installation import Installation

# 40 documents, five in a request
REQUESTS = 8
TIMES = 4

Begin = Callable[[EmbeddingServer], None]


def status(number: int) -> Begin:
    return lambda provider: provider.fail(number, TIMES)


def broken(how: str) -> Begin:
    return lambda provider: provider.spoil(how, TIMES)


KINDS = {
    **{str(number): status(number) for number in (500, 502, 503, 504)},
    "a dropped connection": broken("drop"),
    "half a body": broken("half"),
    "a time-out": broken("hang"),
}

# How the provider asks for a pause, and how many seconds no worker may disturb it then; a fifth less, because a request
# that was about to be sent may come a moment after the refusal
PAUSES: dict[str, tuple[Callable[[], dict[str, str]], float]] = {
    "in seconds": (lambda: {"retry-after": "3"}, 2.4),
    "in milliseconds": (lambda: {"retry-after-ms": "2500"}, 2.0),
    # Whole seconds: the date is less than a second too early
    "as a date": (lambda: {"retry-after": formatdate(time.time() + 4, usegmt=True)}, 2.4),
    "without a time": (dict, 0.8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_passing_fault_is_waited_out_and_costs_no_request_but_the_failed_ones(
    impatient: Installation, provider: EmbeddingServer, elsewhere: dict[str, str], kind: str
) -> None:
    table = f"disturbed by {kind}"
    variables = {"DOCUMENTS_TABLE": table}
    before = len(provider.arrivals())
    with impatient.connect() as database:
        installation.make_table(database, sql.Identifier(table), installation.texts(40), indexed=False)
        # Given a provider whose next answers fail, once `start` has seen the model answer
        KINDS[kind](provider)
        assert impatient.reembed("start", **variables, **elsewhere).code == 0
        # Then nobody types anything, and every document has its vector
        finished = impatient.wait_for(lambda status: status["state"] == "ready", **variables)
        assert (finished["embedded"], finished["failed"], finished["waiting_for"]) == (40, 0, None)
        assert installation.wrong_documents(database, sql.Identifier(table)) == []
        # And no chunk was charged with it
        strikes = database.execute(
            "SELECT max(strikes) FROM reembed.chunks JOIN reembed.migrations m ON m.id = migration_id "
            "WHERE table_name = %s",
            [table],
        ).fetchall()
        assert strikes == [(0,)]
    # And what was answered was asked for once
    # The judgement asks again, five texts to a request like everybody here
    assert len(provider.arrivals()) - before == REQUESTS + TIMES + again.RANDOM // 5


@pytest.mark.parametrize("kind", PAUSES)
def test_one_429_makes_every_worker_pause_for_as_long_as_the_provider_asks(
    impatient: Installation, provider: EmbeddingServer, kind: str
) -> None:
    headers, seconds = PAUSES[kind]
    table = f"overloaded {kind}"
    variables = {"DOCUMENTS_TABLE": table}
    with impatient.connect() as database:
        # Given two workers in full swing, with two requests each
        installation.make_table(database, sql.Identifier(table), installation.texts(1_000), indexed=False)
        provider.set_latency(200)
        assert impatient.reembed("start", **variables).code == 0
        impatient.wait_for(lambda status: status["chunks"]["running"] == 2, **variables)
        # When one of their requests is answered with 429
        told = time.time()
        provider.fail(429, headers=headers(), code="rate_limit_exceeded")
        # Then no request of any worker arrives for as long as the provider asked
        impatient.wait_for(
            lambda status: status["state"] != "backfilling" or longest_silence(provider, told) >= seconds,
            **variables,
        )
        assert longest_silence(provider, told) >= seconds
        provider.set_latency(0)
        # And then they go on, and what was refused is asked for again
        impatient.wait_for(lambda status: status["state"] == "ready", **variables)
        assert installation.wrong_documents(database, sql.Identifier(table)) == []


def longest_silence(provider: EmbeddingServer, since: float) -> float:
    """Seconds between two requests, one after the other."""
    arrivals = [since, *(arrival for arrival in provider.arrivals() if arrival > since)]
    return max((later - earlier for earlier, later in itertools.pairwise(arrivals)), default=0)
