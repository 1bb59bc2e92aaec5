"""A document that the provider refuses: found cheaply, recorded, tried again on request, released by another model."""

import math
from collections.abc import Iterator

import pytest
from psycopg import sql

from orchestrator.embedded.provider import EmbeddingServer
from orchestrator.validation.again import RANDOM
from tests import installation
from tests.installation import NEW_MODEL, Installation

DOCUMENTS = 256
# The position, and the key that it has in the table
REFUSED, KEY = 100, 7 * 101
WORDS = "Your request was rejected as a result of our safety system"


@pytest.fixture
def refusing(shared: Installation) -> Iterator[EmbeddingServer]:
    """The provider, which refuses every request with a certain text in it."""
    provider = shared.stack.provider
    provider.refuse("poisonous")
    yield provider
    provider.accept("poisonous")


def make_table(own: Installation, table: str) -> sql.Identifier:
    contents = installation.texts(DOCUMENTS)
    contents[REFUSED] = "a poisonous text"
    with own.connect() as database:
        installation.make_table(database, sql.Identifier(table), contents, indexed=False)
    return sql.Identifier(table)


def test_one_refused_document_among_many_costs_few_requests_and_its_siblings_are_embedded_once(
    shared: Installation, refusing: EmbeddingServer, elsewhere: dict[str, str]
) -> None:
    name = make_table(shared, "bisected")
    variables = {"DOCUMENTS_TABLE": "bisected", "CHUNK_SIZE": str(DOCUMENTS)}
    arrived, answered = len(refusing.arrivals()), refusing.usage()[NEW_MODEL]
    # When 256 documents go out in one request, and one of them is refused
    assert shared.reembed("start", "--wait", **variables, **elsewhere).code == 0
    # Then it is cornered in two requests for each halving, and no sibling is asked for again once it has its vector
    # The judgement asks again, once, for some of them
    assert len(refusing.arrivals()) - arrived - 1 <= 1 + 2 * math.log2(DOCUMENTS)
    assert refusing.usage()[NEW_MODEL]["texts"] - answered["texts"] - RANDOM == DOCUMENTS - 1
    with shared.connect() as database:
        assert installation.wrong_documents(database, name) == [KEY]


def test_a_refused_document_is_tried_again_on_request_and_recorded_again_while_it_is_refused(
    shared: Installation, refusing: EmbeddingServer
) -> None:
    name, variables = make_table(shared, "retried"), {"DOCUMENTS_TABLE": "retried"}
    assert shared.reembed("start", "--wait", **variables).code == 0
    first = failures(shared, **variables)
    answered = refusing.usage()[NEW_MODEL]["texts"]
    # When a person has it tried again while the provider is of the same mind
    retried = shared.reembed("retry", **variables)
    assert (retried.code, "0 chunks and 1 documents are tried again" in retried.out) == (0, True), retried
    # Then it is recorded anew, in the provider's words, and nothing but a harmless text was embedded for it
    shared.wait_for(lambda status: status["failed"] == 1 and status["pending"] == 0, **variables)
    (again,) = failures(shared, **variables)
    assert (again["id"], WORDS in again["reason"]) == (str(KEY), True)
    assert again["failed_at"] > first[0]["failed_at"]
    assert refusing.usage()[NEW_MODEL]["texts"] - answered == 1
    # And for a person to read
    listed = shared.reembed("failures", **variables).out
    assert listed.startswith(f"{KEY}  ")
    assert WORDS in listed
    # When the provider has thought better of it
    refusing.accept("poisonous")
    assert shared.reembed("retry", **variables).code == 0
    shared.wait_for(lambda status: status["embedded"] == DOCUMENTS, **variables)
    assert failures(shared, **variables) == []
    with shared.connect() as database:
        assert installation.wrong_documents(database, name) == []


@pytest.mark.parametrize("end", [["abort"], ["switch", "cleanup"]], ids=["aborted", "cleaned up"])
def test_another_model_releases_a_refused_document(
    shared: Installation, refusing: EmbeddingServer, end: list[str]
) -> None:
    table = f"released after {end[-1]}"
    name, variables = make_table(shared, table), {"DOCUMENTS_TABLE": table}
    # Given a migration that ended with a refused document
    assert shared.reembed("start", "--wait", **variables).code == 0
    assert [failure["id"] for failure in failures(shared, **variables)] == [str(KEY)]
    for verb in end:
        options = [] if verb == "switch" else ["--yes"]
        ended = shared.reembed(verb, *options, **variables)
        assert ended.code == 0, ended
    refusing.accept("poisonous")
    # When the table moves to another model, which takes it
    other = {**variables, "EMBED_MODEL": "lexical-words", "EMBED_DIMENSIONS": "48"}
    started = shared.reembed("start", "--wait", **other)
    # Then nobody has to be told: it has its vector like any other
    assert started.code == 0, started
    assert failures(shared, **other) == []
    with shared.connect() as database:
        assert installation.wrong_documents(database, name, model="lexical-words", dimensions=48) == []


def failures(own: Installation, **variables: str) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = own.reembed("failures", "--json", **variables).json["failures"]
    return listed
