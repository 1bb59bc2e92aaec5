"""What people decided about a migration, who, and when: the flag moves by nobody else."""

import getpass
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reembed.database import queries
from reembed.database.connection import Connection

Verb = Literal["switch", "rollback", "cleanup", "abort"]


@dataclass(frozen=True)
class Decision:
    verb: Verb
    percent: int | None
    """Of the keys, where it is `switch`."""
    forced: str | None
    """What stood against it; None: nothing did."""
    role: str
    """Of the database session."""
    operator: str
    """As the operator's machine names them: user@host. Said, not proved."""
    decided_at: datetime


def record(
    connection: Connection,
    migration_id: int,
    verb: Verb,
    *,
    percent: int | None = None,
    forced: str | None = None,
) -> None:
    """Call in the transaction that does it."""
    queries.run(
        connection, "record_decision", None,
        migration_id=migration_id, verb=verb, percent=percent, forced=forced, operator=_operator(),
    )  # fmt: skip


def of(connection: Connection, migration_id: int) -> list[Decision]:
    """The newest first."""
    rows = queries.run(connection, "list_decisions", None, migration_id=migration_id)
    return [Decision(**row) for row in rows]


def _operator() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container whose user has no name
        user = "?"
    return f"{user}@{socket.gethostname()}"
