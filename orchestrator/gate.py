"""The gate before the switch: the newest judgement passed, and what it judged is still what stands in the table."""

from config.settings import Settings
from reembed import errors
from reembed.database import documents, validations
from reembed.database.connection import Connection
from reembed.database.ledger import Migration

# Too few to say anything about, however small the table
_FEW = 20


class NotReady(errors.Refused):
    """Migration {migration} is {state}, not ready{why}.

    `reembed status` shows where it stands; `reembed switch --force` switches all the same, once it has been judged.
    """


class ChangedSince(errors.Refused):
    """{changed} of {documents} documents were written since migration {migration} was judged.

    `reembed validate` judges what stands in the table now; VALIDATION_MAX_CHANGED={limit} is the share that may have
    changed. `reembed switch --force` switches all the same.
    """


def check(connection: Connection, migration: Migration, settings: Settings) -> None:
    """Raises NotReady, ChangedSince."""
    if migration.state != "ready":
        pending = ""
        if migration.state in ("planned", "backfilling", "paused", "indexing", "validating"):
            pending = f": {documents.count_pending(connection, migration):,} documents still need a vector"
        raise NotReady(migration=migration.id, state=migration.state, why=pending)
    judged = validations.last(connection, migration.id)
    if judged is None or not judged["passed"]:
        raise NotReady(migration=migration.id, state=migration.state, why=": no judgement of it passed")
    total = judged["report"]["documents"]
    changed = validations.count_changed(connection, migration.id, judged["id"])
    changed += documents.count_pending(connection, migration)
    if changed > max(settings.validation_max_changed * total, _FEW):
        raise ChangedSince(
            changed=f"{changed:,}", documents=f"{total:,}", migration=migration.id,
            limit=settings.validation_max_changed,
        )  # fmt: skip
