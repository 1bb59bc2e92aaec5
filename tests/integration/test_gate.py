"""The gate before the switch: it opens by a judgement of what stands in the table now, or by a person's word."""

import json

import pytest

from config.settings import Settings
from orchestrator import flag, gate, progress
from orchestrator.validation import judge
from reembed.database import decisions, documents, indexes, ledger, validations
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import steps


@pytest.fixture
def embedded(database: Connection, settings: Settings, migration: Migration) -> Migration:
    """Every document embedded, in state `ready`, and nobody judged."""
    steps.embed(settings, migration, 1, 2, 3)
    indexes.build_pending(database, migration)
    indexes.build(database, migration, 12)
    return steps.walk(database, migration, "indexing", "validating", "ready")


@pytest.fixture
def judged(database: Connection, settings: Settings, embedded: Migration) -> Migration:
    verdict = judge.judge(database, settings, embedded)
    assert verdict.passed, verdict.faults
    return embedded


def test_a_judgement_that_passed_opens_the_gate_and_the_switch_is_recorded(
    database: Connection, settings: Settings, judged: Migration
) -> None:
    assert flag.switch(database, judged, settings, force=False) is None
    (decision,) = decisions.of(database, judged.id)
    assert (decision.verb, decision.forced, decision.role) == ("switch", None, "postgres")
    assert "@" in decision.operator
    status = progress.status(database, ledger.get(database, judged.id))
    assert status.last_decision == decision
    assert json.loads(json.dumps(status.as_json(), default=str))["last_decision"]["verb"] == "switch"


def test_without_a_judgement_the_gate_stays_shut(
    database: Connection, settings: Settings, embedded: Migration
) -> None:
    with pytest.raises(gate.NotReady, match="Migration 1 is ready, not ready: no judgement of it passed"):
        flag.switch(database, embedded, settings, force=False)
    assert decisions.of(database, embedded.id) == []


def test_documents_that_were_written_since_the_judgement_shut_the_gate_and_force_is_recorded(
    database: Connection, settings: Settings, judged: Migration
) -> None:
    strict = settings.model_copy(update={"validation_max_changed": 0.0})
    insert = "INSERT INTO documents (id, content, embedding) SELECT 1000 + n, 'text ' || n, embedding "
    insert += "FROM generate_series(1, %s) n, (SELECT embedding FROM documents LIMIT 1) any_one"
    # A few are nothing to speak of, in however small a table
    database.execute(insert, [20])
    gate.check(database, judged, strict)
    # When there is one more, pending or embedded meanwhile
    database.execute("INSERT INTO documents (id, content) VALUES (2000, 'one more')")
    with pytest.raises(gate.ChangedSince) as refusal:
        flag.switch(database, judged, strict, force=False)
    assert str(refusal.value).startswith("21 of 12 documents were written since migration 1 was judged.")
    gate.check(database, judged, settings.model_copy(update={"validation_max_changed": 1.0 + 9 / 12}))
    # Then a person may still say so, and it is written down what they overrode
    overridden = flag.switch(database, judged, strict, force=True)
    assert overridden is not None
    assert decisions.of(database, judged.id)[0].forced == overridden
    assert overridden.startswith("21 of 12 documents were written")


def test_what_was_embedded_since_the_judgement_counts_as_changed(
    database: Connection, settings: Settings, judged: Migration
) -> None:
    last = validations.last(database, judged.id)
    assert last is not None
    assert validations.count_changed(database, judged.id, last["id"]) == 0
    database.execute(
        "UPDATE reembed.chunks SET progress_at = clock_timestamp(), embedded = 5 WHERE number = 3"
    )
    assert validations.count_changed(database, judged.id, last["id"]) == 5


def test_what_was_embedded_while_it_was_judged_counts_as_changed(
    database: Connection, settings: Settings, embedded: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given documents that get another vector behind the back of a judgement that has read theirs
    census = documents.census

    def overtaken(connection: Connection, migration: Migration) -> documents.Census:
        found = census(connection, migration)
        connection.execute(
            "UPDATE reembed.chunks SET progress_at = clock_timestamp(), embedded = 5 WHERE number = 3"
        )
        return found

    monkeypatch.setattr(documents, "census", overtaken)
    assert judge.judge(database, settings, embedded).passed
    last = validations.last(database, embedded.id)
    assert last is not None
    assert validations.count_changed(database, embedded.id, last["id"]) == 5
    # And where a report does not say when it began, since it was stored
    database.execute("UPDATE reembed.validations SET report = report - 'began_at'")
    assert validations.count_changed(database, embedded.id, last["id"]) == 0


def test_nobody_is_let_through_before_there_is_anything_to_judge(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    for force in (False, True):
        with pytest.raises(gate.NotReady, match="12 documents still need a vector"):
            flag.switch(database, migration, settings, force=force)


def test_every_decision_is_written_down_in_the_transaction_that_does_it(
    database: Connection, settings: Settings, judged: Migration
) -> None:
    flag.switch(database, judged, settings, force=False)
    flag.rollback(database, ledger.get(database, judged.id))
    flag.switch(database, ledger.get(database, judged.id), settings, force=False)
    flag.cleanup(database, ledger.get(database, judged.id))
    found = [decision.verb for decision in decisions.of(database, judged.id)]
    assert found == ["cleanup", "switch", "rollback", "switch"]
