"""Replication: who gets what a migration writes, and who would choke on it."""

from collections.abc import Iterator

from config.settings import Settings
from orchestrator.doctor.finding import Finding
from reembed.database import queries
from reembed.database.catalog import Description
from reembed.database.connection import Connection


def publications(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """A subscriber stops at a row with a column that it has not."""
    rows = queries.run(connection, "publications", None, table=found.table.quoted).fetchall()
    if not rows:
        return
    names = ", ".join(row["name"] for row in rows)
    table = found.table
    added, when = (
        (table.added, "start") if not table.companion else ((table.old_model, table.old_hash), "cleanup")
    )
    yield Finding(
        "replication.published",
        "warning",
        f"The publication {names} sends every column of {table}, and its subscribers stop at columns that they do not "
        f"have: `{when}` adds {', '.join(added)}.",
        f"Add these at the subscribers before `reembed {when}`, or name the columns that are published. FOR ALL TABLES "
        "sends a companion as well.",
    )


def slots(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """A slot that nobody reads keeps all that a migration writes."""
    rows = queries.run(connection, "idle_slots").fetchall()
    if rows:
        names = ", ".join(row["name"] for row in rows)
        yield Finding(
            "replication.idle_slot",
            "warning",
            f"Nobody reads the replication slot {names}: the server keeps for it all that the migration will write.",
            "Have its standby or subscriber come back, or SELECT pg_drop_replication_slot('...').",
        )


def standbys(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """They replay what a migration writes, and may fall behind."""
    seen = queries.one(connection, "describe_replicas")
    if seen["replicas"] and not settings.govern_replication_lag_seconds:
        yield Finding(
            "replication.ungoverned",
            "warning",
            f"Workers do not heed how far the server's standbys and subscribers ({seen['replicas']}) are behind.",
            "Set GOVERN_REPLICATION_LAG_SECONDS for the workers: 10, for instance.",
        )
    if seen["archive_fails"]:
        yield Finding(
            "replication.archive",
            "warning",
            "The server cannot archive its log, and keeps all that the migration will write.",
            "Mend archive_command; pg_stat_archiver has what failed.",
        )


CHECKS = (publications, slots, standbys)
