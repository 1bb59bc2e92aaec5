"""The documents table: what stands against migrating it, and what will come with it."""

from collections.abc import Iterator

from config.settings import Settings
from orchestrator import advice
from orchestrator.doctor.finding import Finding
from reembed.database import catalog, columns, queries
from reembed.database.catalog import Description
from reembed.database.connection import Connection

# Share of dead rows at which autovacuum, as it comes, should have been there
_DEAD_SHARE = 0.3
_DEAD_ROWS = 10_000


def size(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """How large it is, and in how many parts."""
    seen = queries.one(connection, "describe_size", catalog.LEAVES, table=found.table.quoted)
    parts = f" in {seen['partitions']} partitions, which are indexed one by one" if found.partitioned else ""
    yield Finding(
        "table.size",
        "info",
        f"{found.table} has about {seen['rows']:,} rows{parts}: {seen['bytes'] / 1e6:,.1f} MB with indexes.",
        "",
    )
    if seen["is_unknown"]:
        yield Finding(
            "table.not_analyzed",
            "warning",
            f"{found.table} was never analyzed, so that its size is a guess, and which STORAGE suits it, too.",
            f"ANALYZE {found.table}",
        )


def autovacuum(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """A backfill leaves a dead version of every row behind: somebody has to take them."""
    seen = queries.one(connection, "describe_vacuum", catalog.LEAVES, table=found.table.quoted)
    if seen["is_off"]:
        yield Finding(
            "table.autovacuum",
            "warning",
            f"Autovacuum is off for {found.table}, and a backfill leaves a dead version of every row.",
            "Switch it on (autovacuum, autovacuum_enabled), or VACUUM the table yourself after the backfill.",
        )
    dead, rows = seen["dead"], seen["dead"] + seen["live"]
    if dead > max(_DEAD_ROWS, _DEAD_SHARE * rows):
        yield Finding(
            "table.dead_rows",
            "warning",
            f"{dead / rows:.0%} of the rows of {found.table} are dead versions: autovacuum does not keep up.",
            "VACUUM the table before `reembed start`; the backfill finds its room again then.",
        )


def indexes(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """The old column's."""
    table = found.table
    standing = catalog.vector_indexes(connection, table.quoted, table.old)
    names = ", ".join(f"{index.name} ({index.method})" for index in standing) or "no vector index"
    yield Finding("index.old", "info", f"{table.old} has {names}.", "")
    for index in standing:
        if not index.valid:
            yield Finding(
                "index.invalid",
                "warning",
                f"The index {index.name} is invalid: no search uses it, and every write pays for it.",
                "REINDEX INDEX CONCURRENTLY, or drop it.",
            )


def storage(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """What the old column's index makes of writing beside it."""
    fill = advice.fill(connection, found.table)
    advised = advice.advise(found, round(fill.rows), fill.free)
    if advised.storage != settings.storage:
        yield Finding(
            "storage.advice",
            "warning",
            f"STORAGE={advised.storage} suits the table better than STORAGE={settings.storage}: {advised.reason}.",
            f"Set STORAGE={advised.storage} before `reembed start`; `reembed plan --measure` tries both.",
        )


def triggers(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """Those of the user's that fire on whatever is written to a row."""
    rows = queries.run(connection, "triggers_on_update", None, table=found.table.quoted).fetchall()
    if not rows:
        return
    names = ", ".join(row["name"] for row in rows)
    when = "when vectors come home" if found.table.companion else "for every vector that is written"
    hint = (
        "`reembed cleanup` is when"
        if found.table.companion
        else "With STORAGE=companion, only `cleanup` does that"
    )
    yield Finding(
        "table.triggers",
        "warning",
        f"Triggers on UPDATE of {found.table} fire {when}: {names}.",
        f"{hint}. See that they change nothing then (updated_at), or name their columns: UPDATE OF.",
    )


def policies(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """Row-level security that lets our role see everything."""
    if queries.one(connection, "has_policies", None, table=found.table.quoted)["has"]:
        yield Finding(
            "table.policies",
            "warning" if found.table.companion else "info",
            f"Row-level security is on for {found.table}, and this role sees every row"
            + (
                "; the companion with the new vectors will have no policies."
                if found.table.companion
                else "."
            ),
            "Searches join the documents, whose policies hold; give the companion its own where roles read it alone."
            if found.table.companion
            else "",
        )


def views(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """Those that `cleanup` will stop at."""
    if names := columns.views_of(connection, found.table.quoted, found.table.old):
        yield Finding(
            "table.views",
            "warning",
            f"`reembed cleanup` will be refused while views read {found.table.old}: {', '.join(names)}.",
            f"Point them at {found.table.new} once searches read it.",
        )


def rights(connection: Connection, settings: Settings, found: Description) -> Iterator[Finding]:
    """What our role may do. A right on the table that is missing is said before, and the table then not found fit."""
    seen = queries.one(connection, "ledger_rights")
    if not (seen["may_write"] if seen["stands"] else seen["may_install"]):
        return
    ledger = "INSERT, UPDATE and DELETE in" if seen["stands"] else "CREATE SCHEMA"
    companion = "CREATE TABLE, " if found.table.companion else ""
    yield Finding(
        "rights.enough",
        "info",
        f"The role {seen['role']} may do all that a migration will: SELECT, UPDATE, ALTER TABLE, CREATE TRIGGER, "
        f"CREATE INDEX, {companion}{ledger} reembed.",
        "",
    )


CHECKS = (size, rights, autovacuum, indexes, triggers, policies, views)
