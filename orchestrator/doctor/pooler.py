"""A pooler: whether one that changes sessions between transactions stands where the settings say that none does."""

from collections.abc import Iterator

from config.settings import Settings
from orchestrator.doctor.finding import Finding
from reembed.database import connection, queries
from reembed.database.connection import Connection

# Another client of the pooler may get the session that we look for
_TRIES = 3


def look(settings: Settings) -> Iterator[Finding]:
    """DATABASE_URL, and DATABASE_DIRECT_URL where there is one. Raises connection.DatabaseUnreachable."""
    if _shares_sessions(settings.direct_database):
        if settings.pooled:
            yield Finding(
                "pooler.direct",
                "error",
                "DATABASE_DIRECT_URL leads to another session in each transaction, so no session's lock can be held.",
                "Set it to the server itself, past the pooler.",
            )
        else:
            yield Finding(
                "pooler.unnamed",
                "error",
                "DATABASE_URL leads to another session in each transaction: a pooler stands before the server.",
                "Set DATABASE_POOLER=transaction, and DATABASE_DIRECT_URL to the server itself.",
            )
    if settings.pooled:
        yield from _beside(settings)


def _beside(settings: Settings) -> Iterator[Finding]:
    with (
        connection.connect(settings.database, "doctor", pooled=True) as through,
        connection.connect(settings.direct_database, "doctor", pooled=True) as past,
    ):
        if _place(through) != _place(past):
            yield Finding(
                "pooler.elsewhere",
                "error",
                "DATABASE_URL and DATABASE_DIRECT_URL lead to different databases.",
                "Set both to the database of the documents.",
            )
    if not _shares_sessions(settings.database):
        yield Finding(
            "pooler.none",
            "info",
            "DATABASE_POOLER=transaction is set, and no such pooler was noticed behind DATABASE_URL.",
            "Unset it where there is none: statements are prepared then, and workers write a little faster.",
        )


def _shares_sessions(url: str) -> bool:
    """Whether a second client gets the first one's session as soon as that one's transaction is over."""
    with (
        connection.connect(url, "doctor", pooled=True) as first,
        connection.connect(url, "doctor", pooled=True) as second,
    ):
        return any(_changes(first, second) for _ in range(_TRIES))


def _changes(first: Connection, second: Connection) -> bool:
    before = _session(first)
    with second.transaction():
        return _session(second) == before or _session(first) != before


def _session(client: Connection) -> int:
    return int(queries.one(client, "this_session")["process"])


def _place(client: Connection) -> tuple[object, object]:
    seen = queries.one(client, "this_session")
    return seen["started_at"], seen["database"]
