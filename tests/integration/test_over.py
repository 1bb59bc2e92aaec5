"""The verbs of the flag's life, typed when a migration is there already or over: what is said is true, and leads on."""

import pytest

from config.settings import Settings
from orchestrator import flag
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


@pytest.mark.parametrize(("verb", "state"), SAYS)
def test_a_verb_that_comes_too_late_is_told_where_things_stand_and_what_is_next(
    database: Connection, settings: Settings, migration: Migration, verb: str, state: str
) -> None:
    over = steps.walk(database, migration, *TO[state])
    for force in (False, True):
        with pytest.raises(errors.Refused) as refusal:
            match verb:
                case "switch":
                    flag.switch(database, over, settings, force=force)
                case "switch --percent":
                    flag.switch(database, over, settings, percent=5, force=force)
                case "rollback":
                    flag.rollback(database, over)
                case "cleanup":
                    flag.cleanup(database, over)
                case "abort":
                    flag.abort(database, over)
        assert str(refusal.value) == SAYS[verb, state]
    assert ledger.get(database, migration.id) == over
