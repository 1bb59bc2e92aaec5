"""Everything that `plan` and `start` look at before anything is written: a mistake found here leaves nothing behind.

`start` stops at the first; `doctor` goes through all of them.
"""

import threading
from collections.abc import Callable, Sequence

from config.settings import Settings
from reembed import errors
from reembed.database import catalog, distances, fitness, ledger, queries
from reembed.database.connection import Connection
from reembed.embedding.jobs import Jobs
from reembed.embedding.patience import Patience
from reembed.embedding.provider import Provider
from reembed.embedding.wire import Embedded
from reembed.settings import Endpoint, Model

PROBE = "reembed asks for one vector, to see that the model answers."
# A person waits for this
_PATIENCE_SECONDS = 20

Check = Callable[[Connection, Settings, catalog.Description], None]
"""Raises errors.Usage where something is wrong."""


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


class SameAsOld(errors.Usage):
    """EMBED_MODEL and OLD_EMBED_MODEL are the same, {model}, so there is nothing to move.

    Set EMBED_MODEL to the new model; to have every vector made anew by this one, unset OLD_EMBED_MODEL.
    """


class MayNotInstall(errors.Usage):
    """The database role {role} may not create the schema reembed in {database}, where the ledger is kept.

    GRANT CREATE ON DATABASE {database} TO {role}.
    """


class MayNotRecord(errors.Usage):
    """The database role {role} may not write to the ledger in the schema reembed.

    Grant it USAGE and CREATE on the schema and all on its tables, or set DATABASE_URL to a role that owns them.
    """


class MayNotSee(errors.Usage):
    """{variables} cannot be heeded: the database role {role} does not see what other roles' sessions are at.

    GRANT pg_read_all_stats to it, or unset {variables}.
    """


def documents_table(connection: Connection, settings: Settings) -> catalog.Description:
    """The table of the environment, found fit. Raises what catalog.describe raises."""
    return catalog.describe(connection, **_names(settings))


def unfit(connection: Connection, settings: Settings) -> list[errors.Usage]:
    """All that documents_table would raise, one after the other, were each mended."""
    return catalog.unfit(connection, **_names(settings))


def _names(settings: Settings) -> catalog.Names:
    return {
        "name": settings.documents_table,
        "id_column": settings.documents_id_column,
        "content": settings.documents_content_column,
        "old": settings.old_column,
        "new": settings.new_column,
        "storage": settings.storage,
    }


def order_of_work(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That BACKFILL_ORDER_COLUMN, where it is set, is a number. Raises fitness.NoColumn, fitness.WrongColumn."""
    if settings.backfill_order_column is not None:
        catalog.refuse_no_number(
            connection, found.table, settings.backfill_order_column, "BACKFILL_ORDER_COLUMN"
        )


def slices(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That VALIDATION_SLICE_COLUMN, where it is set, is there. Raises fitness.NoColumn."""
    column = settings.validation_slice_column
    if column is not None and column not in found.columns:
        names = catalog.column_names(connection, found.table)
        raise fitness.no_column(str(found.table), column, names, "VALIDATION_SLICE_COLUMN")


def governor(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That our role sees what the governor shall look at: it would be blind without a word. Raises MayNotSee."""
    looks = {
        "GOVERN_REPLICATION_LAG_SECONDS": settings.govern_replication_lag_seconds,
        "GOVERN_ACTIVE_SESSIONS": settings.govern_active_sessions,
    }
    wanted = [name for name, limit in looks.items() if limit]
    if wanted and not queries.one(connection, "may_see_load")["may"]:
        raise MayNotSee(variables=" and ".join(wanted), role=connection.info.user)


def ledger_rights(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That our role may make the ledger where there is none, and write to it where there is.

    Raises MayNotInstall, MayNotRecord.
    """
    rights = queries.one(connection, "ledger_rights")
    if not rights["stands"] and not rights["may_install"]:
        raise MayNotInstall(role=rights["role"], database=rights["database"])
    if rights["stands"] and not rights["may_write"]:
        raise MayNotRecord(role=rights["role"])


OF_ANY_MIGRATION: tuple[Check, ...] = (order_of_work, slices, governor, ledger_rights)
"""Of a table that was found fit, whether a migration is under way or not."""


def free_names(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That no column has a name that is wanted. Raises catalog.NewColumnExists."""
    table = found.table
    wanted = [*table.added]
    if ledger.last_cleaned(connection, table) is None:
        # `cleanup` will want these names; columns of the user's own must not be there to be lost
        wanted += [table.old_model, table.old_hash]
    for column in wanted:
        if column in found.columns:
            raise catalog.NewColumnExists(table=table, column=column)


def width(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That the new vectors can be indexed, and the old ones' width is known.

    Raises distances.TooWideToIndex, NoWidth.
    """
    distances.refuse_too_wide(settings.embed_dimensions, settings.index_method)
    old_model = settings.old_model(found.old_dimensions)
    if old_model is not None and old_model.dimensions == 0:
        raise NoWidth(column=found.table.old, model=old_model.name)


def something_to_do(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That there are documents, of another model. Raises NoDocuments, SameModel, SameAsOld."""
    if found.is_empty:
        raise NoDocuments(table=found.table)
    before = ledger.last_cleaned(connection, found.table)
    if before is not None and before.new_model == settings.new_model:
        raise SameModel(column=found.table.old, model=before.new_model)
    # Two servers may give one name to different models
    same_server = settings.old_endpoint.base_url.rstrip("/") == settings.new_endpoint.base_url.rstrip("/")
    if same_server and settings.old_model(found.old_dimensions) == settings.new_model:
        raise SameAsOld(model=settings.new_model)


OF_A_NEW_MIGRATION: tuple[Check, ...] = (free_names, width, something_to_do)
"""Where none is under way."""


def provider(settings: Settings) -> Embedded:
    """One real call: the key, the model and its width.

    Raises errors.Broken; errors.Transient where the fault does not pass within _PATIENCE_SECONDS.
    """
    return ask(settings.new_endpoint, settings.new_model, [PROBE], settings)


def jobs(settings: Settings) -> None:
    """That the provider has a Batch API, where it is to be used. Raises NoJobs, and what `provider` raises."""
    if settings.provider_mode == "batch":
        patience = Patience(_PATIENCE_SECONDS, threading.Event(), lambda reason, seconds: None)
        with Provider(
            settings.new_endpoint, settings.new_model, timeout_seconds=settings.provider_timeout_seconds
        ) as asked:
            patience.call(Jobs(asked).check)


def ask(endpoint: Endpoint, model: Model, texts: Sequence[str], settings: Settings) -> Embedded:
    """What the model at the endpoint answers to these texts; raises as `provider` does."""
    patience = Patience(_PATIENCE_SECONDS, threading.Event(), lambda reason, seconds: None)
    with Provider(endpoint, model, timeout_seconds=settings.provider_timeout_seconds) as asked:
        return patience.call(asked.embed_documents, texts)
