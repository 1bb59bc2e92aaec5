"""`reembed history`: what was judged and decided, side by side, for a person and for a program."""

import json
import re

import pytest
from click.testing import CliRunner

from config.settings import Settings
from orchestrator import flag
from orchestrator.command import main
from orchestrator.validation import judge
from reembed.database import ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import steps

NOW = r"\d{4}-\d\d-\d\d \d\d:\d\d"


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database)
    monkeypatch.setenv("CELERY_BROKER_URL", settings.broker)
    monkeypatch.setenv("OPENAI_BASE_URL", settings.openai_base_url)
    monkeypatch.setenv("EMBED_MODEL", settings.embed_model)
    monkeypatch.setenv("EMBED_DIMENSIONS", str(settings.embed_dimensions))


def history(*options: str) -> str:
    answer = CliRunner().invoke(main.reembed, ["history", *options])
    assert answer.exit_code == 0, answer.exception
    return answer.output


@pytest.mark.usefixtures("environment", "migration")
def test_before_anything_was_judged_it_says_so() -> None:
    assert history() == "migration 1 was not judged yet.\n"


@pytest.mark.usefixtures("environment")
def test_judgements_stand_side_by_side_the_newest_first_and_decisions_below(
    database: Connection, settings: Settings, migration: Migration
) -> None:
    # Given a judgement that does not pass, one that does, and a switch
    judge.judge(database, settings, migration)
    steps.embed(settings, migration, 1, 2, 3)
    judge.judge(database, settings, migration)
    ready = steps.walk(database, migration, "indexing", "validating", "ready")
    flag.switch(database, ready, settings, force=False)
    head, passed, not_passed, decided = history().splitlines()
    assert head.split() == ["judged", "queries", "overlap@k", "identity", "nDCG@10", "faults"]
    assert re.fullmatch(rf"{NOW}  passed +12  [01]\.\d{{3}} \([\d.]+ to [\d.]+\) +0/0  -", passed)
    assert re.fullmatch(rf"{NOW}  NOT PASSED +0  - +0/0  - +1", not_passed)
    assert re.fullmatch(rf"decided     switch by \S+@\S+ \(role postgres\) at {NOW}", decided)
    # And the same as one object
    told = json.loads(history("--json"))
    assert told["migration"] == ledger.get(database, migration.id).id
    assert [judgement["passed"] for judgement in told["judgements"]] == [True, False]
    assert told["judgements"][0]["report"]["embedded_again"]["tested"] == 12
    assert [decision["verb"] for decision in told["decisions"]] == ["switch"]
