"""What the verbs of the flag's life say of a migration that is there already, or over."""

from reembed import errors
from reembed.database.ledger import Migration


class SwitchedAlready(errors.Refused):
    """Migration {migration} is {state}: searches read {column} already.

    {way_on}.
    """


class CleanedAlready(errors.Refused):
    """Migration {migration} is cleaned: {column} holds the vectors of {model}, and nothing is left to do.

    `reembed start` begins another when EMBED_MODEL names another model.
    """


class NothingThere(errors.Refused):
    """Migration {migration} is aborted: the new column is gone, so it cannot {verb}.

    `reembed start` begins another.
    """


class AbortedAlready(errors.Refused):
    """Migration {migration} is aborted already.

    `reembed start` begins another.
    """


WAY_ON = {
    "switched": "`reembed cleanup` drops the old column, `reembed rollback` leads back to it",
    "cleaning": "`reembed cleanup` goes on with it",
}
"""What to type once searches read the new column."""


def refuse_switched(migration: Migration, percent: int) -> None:
    """That there is something to switch; a canary leads down from a full switch, too. Raises SwitchedAlready."""
    if migration.state == "cleaning" or (migration.state == "switched" and percent == 100):
        raise SwitchedAlready(
            migration=migration.id,
            state=migration.state,
            column=migration.table.new,
            way_on=WAY_ON[migration.state],
        )


def refuse_cleaned(migration: Migration) -> None:
    """That the old column is still there. Raises CleanedAlready."""
    if migration.state == "cleaned":
        raise CleanedAlready(migration=migration.id, column=migration.table.old, model=migration.new_model)


def refuse_aborted(migration: Migration, verb: str) -> None:
    """That the new column is still there. Raises NothingThere, AbortedAlready where the verb is that."""
    if migration.state != "aborted":
        return
    if verb == "abort":
        raise AbortedAlready(migration=migration.id)
    raise NothingThere(migration=migration.id, verb=verb)
