"""The ledger's migrations: made, found, and moved from state to state."""

import importlib.resources
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from psycopg import errors as pg
from psycopg import sql

from reembed import errors, settings
from reembed.database import distances, fragments, queries, table
from reembed.database.connection import Connection

Side = Literal["new", "old"]
"""The column that a chunk fills."""

# Until the backfill is over, most documents have no row in the companion. From then on each one with text has: the last
# look of the backfill lists what is left, and the triggers list what is written
_BEFORE_ALL_ARE_LISTED = ("planned", "backfilling", "paused", "failed", "indexing")


class NoMigration(errors.Refused):
    """There is no migration of {table}.

    `reembed start` begins one.
    """


class AnotherMigration(errors.Refused):
    """Migration {migration} of {table} to {model} is under way ({state}).

    `reembed status` shows it; {way_out}.
    """


class WrongState(errors.Refused):
    """Migration {migration} is {state}{reason}, so it cannot {verb}.

    `reembed status` shows where it stands.
    """


@dataclass(frozen=True)
class Migration:
    """One row of reembed.migrations, with the models it names."""

    id: int
    table: table.Table
    old_type: distances.VectorType
    old_dimensions: int
    old_model: settings.Model | None
    new_model: settings.Model
    new_model_id: int
    index_method: str
    metric: settings.Metric
    chunk_size: int
    state: str
    reason: str | None
    canary_percent: int = 0
    """Before the switch: the share of all keys whose searches read the new column."""
    home_index: str | None = None
    """While vectors come home from a companion: the name that their index will have."""
    budget_usd: float | None = None
    until_percent: float | None = None
    """It pauses at these, where they are set; see reembed/database/limits.py."""
    listed: bool = False
    """With a companion: every document with text is known to have a row there, whatever the state says."""

    @cached_property
    def names(self) -> dict[str, sql.Composable]:
        """The table's names, with those that depend on the migration; `pending` means the new column."""
        return self._names("new")

    @cached_property
    def old_names(self) -> dict[str, sql.Composable]:
        """The same names where `pending` and what a batch writes mean the old column."""
        return self._names("old")

    def names_of(self, side: Side) -> dict[str, sql.Composable]:
        return self.names if side == "new" else self.old_names

    def _names(self, side: Side) -> dict[str, sql.Composable]:
        return fragments.of(
            self.table,
            migration=self.id,
            model=self.new_model_id,
            listed=self.listed or self.state not in _BEFORE_ALL_ARE_LISTED,
            side=side,
        )


def install(connection: Connection) -> None:
    """Make the schema `reembed` where it is missing. Call inside a transaction: it waits for others who install."""
    queries.run(connection, "lock_ledger")
    if not exists(connection):
        schema = importlib.resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
        connection.execute(sql.SQL(schema))


def exists(connection: Connection) -> bool:
    return bool(queries.one(connection, "ledger_exists")["found"])


def create(
    connection: Connection,
    documents: table.Table,
    *,
    old_type: str,
    old_dimensions: int,
    old_model: settings.Model | None,
    new_model: settings.Model,
    index_method: str,
    metric: str,
    chunk_size: int,
) -> Migration:
    """A migration in state `planned`. Raises AnotherMigration where one is under way.

    Where nobody says what made the old vectors, an earlier migration may know.
    """
    where = {"schema": documents.schema, "name": documents.name}
    before = last_cleaned(connection, documents)
    old_model_id = _model_id(connection, old_model) if old_model else before and before.new_model_id
    try:
        with connection.transaction():
            row = queries.one(
                connection, "create_migration", None,
                **where, id=documents.id, content=documents.content, key_type=documents.key_type,
                old=documents.old, old_type=old_type, old_dimensions=old_dimensions, new=documents.new,
                companion=documents.companion,
                old_model=old_model_id, new_model=_model_id(connection, new_model),
                index_method=index_method, metric=metric, chunk_size=chunk_size,
            )  # fmt: skip
    except pg.UniqueViolation:
        raise another(latest(connection, documents.schema, documents.name)) from None
    return get(connection, row["id"])


def another(migration: Migration) -> AnotherMigration:
    switched = migration.state == "switched"
    return AnotherMigration(
        migration=migration.id,
        table=migration.table,
        model=migration.new_model,
        state=migration.state,
        way_out="`reembed cleanup` ends it" if switched else "`reembed abort` gives it up",
    )


def get(connection: Connection, migration_id: int) -> Migration:
    return _load(connection, queries.one(connection, "get_migration", None, migration_id=migration_id))


def find(connection: Connection, schema: str, name: str) -> Migration | None:
    """The newest migration of a table, whatever its state; None where there never was one."""
    if not exists(connection):
        return None
    row = queries.run(connection, "latest_migration", None, schema=schema, name=name).fetchone()
    return _load(connection, row) if row else None


def last_cleaned(connection: Connection, documents: table.Table) -> Migration | None:
    """The migration of ours that put the vectors into the old column, with model and hash beside them; None without."""
    if not exists(connection):
        return None
    row = queries.run(
        connection, "last_cleaned_migration", None,
        schema=documents.schema, name=documents.name, old=documents.old,
    ).fetchone()  # fmt: skip
    return _load(connection, row) if row else None


def latest(connection: Connection, schema: str, name: str) -> Migration:
    """The newest migration of a table. Raises NoMigration."""
    migration = find(connection, schema, name)
    if migration is None:
        raise NoMigration(table=f"{schema}.{name}")
    return migration


def change_state(
    connection: Connection, migration: Migration, to_state: str, reason: str | None = None
) -> bool:
    """Compare-and-set from the state that `migration` was read in; False where somebody else was first.

    An arrow that reembed.transitions does not have raises psycopg.errors.CheckViolation.
    """
    cursor = queries.run(
        connection, "change_state", None,
        migration_id=migration.id, from_state=migration.state, to_state=to_state, reason=reason,
    )  # fmt: skip
    return cursor.rowcount == 1


def hold(connection: Connection, migration: Migration, state: str, verb: str) -> None:
    """Until this transaction ends, nobody changes the state. Raises WrongState where it is another already."""
    row = queries.one(connection, "lock_state", None, migration_id=migration.id)
    if row["state"] != state:
        raise wrong_state(get(connection, migration.id), verb)


def set_reason(connection: Connection, migration_id: int, reason: str | None) -> None:
    """Why it waits, or None. The reason of one that is paused or failed is a person's to remove."""
    queries.run(connection, "set_reason", None, migration_id=migration_id, reason=reason)


def set_home_index(connection: Connection, migration_id: int, name: str) -> None:
    queries.run(connection, "set_home_index", None, migration_id=migration_id, name=name)


def wrong_state(migration: Migration, verb: str) -> WrongState:
    reason = f" ({migration.reason})" if migration.reason else ""
    return WrongState(migration=migration.id, state=migration.state, reason=reason, verb=verb)


def _model_id(connection: Connection, model: settings.Model) -> int:
    row = queries.one(
        connection, "find_model", None,
        provider=model.provider, name=model.name, dimensions=model.dimensions,
        document_prefix=model.document_prefix, query_prefix=model.query_prefix,
    )  # fmt: skip
    return int(row["id"])


def get_model(connection: Connection, model_id: int) -> settings.Model:
    return settings.Model(**queries.one(connection, "get_model", None, model_id=model_id))


def _load(connection: Connection, row: dict[str, Any]) -> Migration:
    return Migration(
        id=row["id"],
        table=table.Table(
            row["schema_name"], row["table_name"], row["id_column"], row["content_column"],
            row["old_column"], row["new_column"], row["key_type"], row["companion"],
        ),
        old_type=row["old_type"],
        old_dimensions=row["old_dimensions"],
        old_model=get_model(connection, row["old_model"]) if row["old_model"] else None,
        new_model=get_model(connection, row["new_model"]),
        new_model_id=row["new_model"],
        index_method=row["index_method"],
        metric=row["metric"],
        chunk_size=row["chunk_size"],
        state=row["state"],
        reason=row["reason"],
        canary_percent=row["canary_percent"],
        home_index=row["home_index"],
        budget_usd=row["budget_usd"],
        until_percent=row["until_percent"],
    )  # fmt: skip
