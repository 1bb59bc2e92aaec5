"""Queries from the log of what users asked: read, never written, and never more than are wanted."""

import pytest

from config.settings import Settings
from orchestrator.validation import asked, judge
from reembed.database import validations
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import steps


@pytest.fixture
def log(database: Connection) -> None:
    database.execute("CREATE TABLE searches (at timestamptz DEFAULT now(), said text)")
    database.execute("INSERT INTO searches (said) SELECT 'query ' || n FROM generate_series(1, 50) n")
    database.execute("INSERT INTO searches (said) VALUES (NULL), (' ')")


def with_sql(settings: Settings, statement: str, **others: object) -> Settings:
    return settings.model_copy(update={"validation_queries_sql": statement, **others})


@pytest.mark.usefixtures("log")
def test_queries_come_from_the_log_in_its_order_and_no_more_than_are_wanted(
    database: Connection, settings: Settings
) -> None:
    one = with_sql(settings, "SELECT said FROM searches WHERE said LIKE 'query %'", validation_sample=3)
    assert asked.from_log(database, one) == [("1", "query 1"), ("2", "query 2"), ("3", "query 3")]
    named = with_sql(
        settings, "SELECT 'q' || said, said FROM searches ORDER BY said DESC NULLS FIRST LIMIT 2"
    )
    assert asked.from_log(database, named) == [("qquery 9", "query 9")]


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT nothing FROM searches", 'column "nothing" does not exist'),
        ("DELETE FROM searches RETURNING said", 'syntax error at or near "DELETE"'),
        (
            "WITH gone AS (DELETE FROM searches RETURNING said) SELECT said FROM gone",
            "must not contain data-modifying",
        ),
        ("SELECT 1; DROP TABLE searches", "cannot insert multiple commands into a prepared statement"),
        ("SELECT pg_sleep(9)", "canceling statement due to statement timeout"),
        ("SELECT 1, 2, 3", "it does not select one column or two"),
        ("SELECT said FROM searches WHERE said IS NULL", "it selects no text"),
        (
            "SELECT set_config('a.b', said, false) FROM searches, LATERAL (SELECT nextval('s')) x",
            "does not exist",
        ),
    ],
)
def test_a_statement_that_cannot_be_used_says_why_and_changes_nothing(
    database: Connection,
    settings: Settings,
    statement: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asked, "_STATEMENT_TIMEOUT", "300ms")
    with pytest.raises(asked.NoLog) as error:
        asked.from_log(database, with_sql(settings, statement))
    assert reason in str(error.value)
    assert str(error.value).startswith("VALIDATION_QUERIES_SQL cannot be used: ")
    assert error.value.exit_code == 2
    assert database.execute("SELECT count(*) FROM searches").fetchone() == (52,)
    assert database.execute("SHOW statement_timeout").fetchone() == ("0",)


@pytest.mark.usefixtures("log")
def test_the_judgement_asks_what_users_asked_and_a_bad_statement_does_not_hold_it_up(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    steps.embed(settings, migration, 1, 2, 3)
    judge.judge(database, with_sql(settings, "SELECT said FROM searches"), migration)
    last = validations.last(database, migration.id)
    assert last is not None
    assert (last["report"]["mode"], last["report"]["queries"]) == ("queries", 50)
    judge.judge(database, with_sql(settings, "SELECT nothing"), migration)
    last = validations.last(database, migration.id)
    assert last is not None
    assert last["report"]["mode"] == "documents"
    assert "VALIDATION_QUERIES_SQL cannot be used" in last["report"]["notes"][0]
