"""Everything that `plan` and `start` look at before anything is written: a mistake found here leaves nothing behind."""

import threading

from config.settings import Settings
from reembed import errors
from reembed.database import catalog, distances, ledger, queries
from reembed.database.connection import Connection
from reembed.embedding.patience import Patience
from reembed.embedding.provider import Provider

PROBE = "reembed asks for one vector, to see that the model answers."
# A person waits for this
_PATIENCE_SECONDS = 20


class NoDocuments(errors.Usage):
    """The table {table} is empty: there is nothing to embed.

    Set DOCUMENTS_TABLE to the table that the service searches.
    """


class NoWidth(errors.Usage):
    """The column {column} has no width of its own, so nobody knows how many dimensions {model} has.

    Set OLD_EMBED_DIMENSIONS.
    """


class SameModel(errors.Usage):
    """The vectors in {column} were made by {model} already, so there is nothing to move.

    Set EMBED_MODEL to the new model.
    """


class MayNotSee(errors.Usage):
    """{variables} cannot be heeded: the database role {role} does not see what other roles' sessions are at.

    GRANT pg_read_all_stats to it, or unset {variables}.
    """


def documents_table(connection: Connection, settings: Settings) -> catalog.Description:
    """The table of the environment, found fit. Raises what catalog.describe raises."""
    return catalog.describe(
        connection,
        name=settings.documents_table,
        id_column=settings.documents_id_column,
        content=settings.documents_content_column,
        old=settings.old_column,
        new=settings.new_column,
        storage=settings.storage,
    )


def order_of_work(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That BACKFILL_ORDER_COLUMN, where it is set, is a number. Raises catalog.NoColumn, catalog.WrongColumn."""
    if settings.backfill_order_column is not None:
        catalog.refuse_no_number(
            connection, found.table, settings.backfill_order_column, "BACKFILL_ORDER_COLUMN"
        )


def slices(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That VALIDATION_SLICE_COLUMN, where it is set, is there. Raises catalog.NoColumn."""
    column = settings.validation_slice_column
    if column is not None and column not in found.columns:
        names = ", ".join(catalog.column_names(connection, found.table))
        raise catalog.NoColumn(
            table=found.table, column=column, columns=names, variable="VALIDATION_SLICE_COLUMN"
        )


def governor(connection: Connection, settings: Settings) -> None:
    """That our role sees what the governor shall look at: it would be blind without a word. Raises MayNotSee."""
    looks = {
        "GOVERN_REPLICATION_LAG_SECONDS": settings.govern_replication_lag_seconds,
        "GOVERN_ACTIVE_SESSIONS": settings.govern_active_sessions,
    }
    wanted = [name for name, limit in looks.items() if limit]
    if wanted and not queries.one(connection, "may_see_load")["may"]:
        raise MayNotSee(variables=" and ".join(wanted), role=connection.info.user)


def a_new_migration(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That a migration of this table may begin, as far as the database can tell.

    Raises NoDocuments, NoWidth, SameModel, catalog.NewColumnExists, distances.TooWideToIndex.
    """
    table = found.table
    before = ledger.last_cleaned(connection, table)
    wanted = [*table.added]
    if before is None:
        # `cleanup` will want these names; columns of the user's own must not be there to be lost
        wanted += [table.old_model, table.old_hash]
    for column in wanted:
        if column in found.columns:
            raise catalog.NewColumnExists(table=table, column=column)
    distances.refuse_too_wide(settings.embed_dimensions, settings.index_method)
    old_model = settings.old_model(found.old_dimensions)
    if old_model is not None and old_model.dimensions == 0:
        raise NoWidth(column=table.old, model=old_model.name)
    if found.is_empty:
        raise NoDocuments(table=table)
    if before is not None and before.new_model == settings.new_model:
        raise SameModel(column=table.old, model=before.new_model)


def provider(settings: Settings) -> None:
    """One real call: the key, the model and its width.

    Raises errors.Broken; errors.Transient where the fault does not pass within _PATIENCE_SECONDS.
    """
    patience = Patience(_PATIENCE_SECONDS, threading.Event(), lambda reason, seconds: None)
    with Provider(
        settings.new_endpoint, settings.new_model, timeout_seconds=settings.provider_timeout_seconds
    ) as new:
        patience.call(new.embed_query, PROBE)
