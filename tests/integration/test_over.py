"""The verbs of the flag's life, typed when a migration is there already or over: what is said is true, and leads on."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from config.settings import Settings
from orchestrator import flag
from orchestrator.command import main
from reembed import errors
from reembed.database import ledger
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import steps

TO = {
    "switched": ("indexing", "validating", "ready", "switched"),
    "cleaning": ("indexing", "validating", "ready", "switched", "cleaning"),
    "cleaned": ("indexing", "validating", "ready", "switched", "cleaned"),
    "aborted": ("aborted",),
}
CLEANED = (
    "Migration 1 is cleaned: embedding holds the vectors of lexical-ngrams (64), and nothing is left to do. "
    "`reembed start` begins another when EMBED_MODEL names another model."
)
SAYS = {
    ("switch", "switched"): (
        "Migration 1 is switched: searches read embedding_v2 already. "
        "`reembed cleanup` drops the old column, `reembed rollback` leads back to it."
    ),
    ("switch", "cleaning"): (
        "Migration 1 is cleaning: searches read embedding_v2 already. `reembed cleanup` goes on with it."
    ),
    ("switch --percent", "cleaning"): (
        "Migration 1 is cleaning: searches read embedding_v2 already. `reembed cleanup` goes on with it."
    ),
    ("switch", "cleaned"): CLEANED,
    ("cleanup", "cleaned"): CLEANED,
    ("switch", "aborted"): (
        "Migration 1 is aborted: the new column is gone, so it cannot switch. `reembed start` begins another."
    ),
    ("rollback", "aborted"): (
        "Migration 1 is aborted: the new column is gone, so it cannot roll back. `reembed start` begins another."
    ),
    ("cleanup", "aborted"): (
        "Migration 1 is aborted: the new column is gone, so it cannot clean up. `reembed start` begins another."
    ),
    ("abort", "aborted"): "Migration 1 is aborted already. `reembed start` begins another.",
}

Verb = Callable[[Connection, Migration, Settings, bool], object]
VERBS: dict[str, Verb] = {
    "switch": lambda database, over, settings, force: flag.switch(database, over, settings, force=force),
    "switch --percent": lambda database, over, settings, force: flag.switch(
        database, over, settings, percent=5, force=force
    ),
    "rollback": lambda database, over, *_: flag.rollback(database, over),
    "cleanup": lambda database, over, *_: flag.cleanup(database, over),
    "abort": lambda database, over, *_: flag.abort(database, over),
}


@pytest.mark.parametrize(("verb", "state"), SAYS)
def test_a_verb_that_comes_too_late_is_told_where_things_stand_and_what_is_next(
    database: Connection, settings: Settings, migration: Migration, verb: str, state: str
) -> None:
    over = steps.walk(database, migration, *TO[state])
    for force in (False, True):
        with pytest.raises(errors.Refused) as refusal:
            VERBS[verb](database, over, settings, force)
        assert str(refusal.value) == SAYS[verb, state]
    assert ledger.get(database, migration.id) == over


@pytest.mark.parametrize(
    ("states", "says"),
    [
        (("indexing",), "`reembed status --watch` shows it."),
        (("indexing", "validating", "ready"), "`reembed switch` is next."),
        (
            ("indexing", "validating", "needs_review"),
            "it did not pass its validation; `reembed validate` shows why.",
        ),
        (
            TO["switched"],
            "searches read embedding_v2; `reembed cleanup` drops the old column, `reembed rollback` leads back to it.",
        ),
        (TO["cleaning"], "searches read embedding_v2; `reembed cleanup` goes on with it."),
    ],
)
@pytest.mark.usefixtures("broker")
def test_start_typed_again_says_in_which_state_the_migration_is_and_what_is_next(
    database: Connection,
    settings: Settings,
    migration: Migration,
    states: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("embed_model", "embed_dimensions", "openai_base_url"):
        monkeypatch.setenv(name.upper(), str(getattr(settings, name)))
    steps.walk(database, migration, *states)
    answer = CliRunner().invoke(main.reembed, ["start"])
    assert answer.output == (
        "migration 1 of public.documents to lexical-ngrams (64): "
        f"under way already ({states[-1]}), 3 chunks\n{says}\n"
    )
    assert answer.exit_code == 0
