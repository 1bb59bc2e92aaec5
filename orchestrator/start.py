"""`plan` and `start`: what will be done, and the beginning of doing it.

1. Look at everything that can be wrong: table, provider, broker. Nothing is written before all of it is right.
2. Write the migration (`planned`). From here on, whoever calls `start` again goes on from where it stopped.
3. Expand the table: short catalog changes.
4. Write every chunk row, and go to `backfilling`, in one transaction.
5. Only then publish the first wave.
"""

from dataclasses import dataclass

from config.settings import Settings
from orchestrator import advice, checks, dispatch, measure, planning, prices
from reembed import errors
from reembed.database import catalog, chunks, documents, grants, ledger, limits, storage
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from reembed.embedding import packing, tokens

# A first guess at a document's tokens is made from so many texts
_SAMPLED_TEXTS = 500


class Paused(errors.Refused):
    """Migration {migration} is paused: {reason}.

    `reembed resume` continues it.
    """


class FailedBefore(errors.Refused):
    """Migration {migration} failed: {reason}.

    `reembed retry` lets it go on.
    """


@dataclass(frozen=True)
class Plan:
    """What `start` would do."""

    found: catalog.Description
    settings: Settings
    load: planning.Load
    price: prices.Price | None
    advice: advice.Advice
    measured: measure.Rates | None
    statements: list[str]

    @property
    def dollars(self) -> float | None:
        share = self.settings.provider_job_price_share if self.by_jobs else 1.0
        return None if self.price is None else share * self.price.of(self.load.tokens)

    @property
    def by_jobs(self) -> bool:
        return self.settings.provider_mode == "batch"

    @property
    def seconds_at_quota(self) -> float | None:
        """None also for jobs, which have limits of their own."""
        if self.by_jobs:
            return None
        return self.load.seconds_at_quota(
            self.settings.embed_requests_per_minute, self.settings.embed_tokens_per_minute
        )

    @property
    def vector_bytes(self) -> int:
        """Of the new column, without its index."""
        return self.load.documents * (8 + 4 * self.settings.embed_dimensions)


@dataclass(frozen=True)
class Started:
    migration: Migration
    begun: bool
    """False: it was under way already."""
    chunks: int


def plan(connection: Connection, settings: Settings, *, measured: bool = False) -> Plan:
    """Leaves nothing behind; read-only unless `measured`.

    Raises errors.Usage for a table that cannot be migrated, ledger.AnotherMigration, measure.NothingToMeasure.
    """
    found = _look(connection, settings)
    active = under_way(connection, settings, found)
    if active is None:
        _a_new_migration(connection, settings, found)
    migration = active or _unsaved(settings, found)
    count = documents.count_all(connection, migration)
    mean_tokens = documents.mean_tokens(
        connection, migration, count, sample=_SAMPLED_TEXTS, estimate=tokens.counter(settings.embed_model)
    )
    return Plan(
        found=found,
        settings=settings,
        load=planning.Load(
            documents=count,
            tokens=round(count * mean_tokens),
            chunk_size=settings.chunk_size or planning.chunk_size(count, settings.provider_mode),
            batch_size=settings.embed_batch_size,
            batch_tokens=packing.largest_request(
                settings.embed_batch_tokens,
                settings.embed_requests_per_minute,
                settings.embed_tokens_per_minute,
            ),
        ),
        advice=advice.advise(found, count, advice.fill(connection, found.table).free),
        measured=measure.measure(connection, migration) if measured else None,
        price=prices.of_the_new_model(settings),
        statements=[
            query.as_string(connection).replace("%%", "%")
            for query in storage.expansion(connection, migration)
        ],
    )


def start(
    connection: Connection,
    settings: Settings,
    *,
    budget: limits.Budget | None = None,
    until: float | None = None,
) -> Started:
    """Begin the migration of the environment's table, or go on with it where one is under way.

    Raises errors.Usage and errors.Broken before anything is written; ledger.AnotherMigration, Paused, FailedBefore;
    what limits.set_limits raises.
    """
    found = _look(connection, settings)
    dispatch.check_broker()
    migration = under_way(connection, settings, found)
    begun = migration is None
    if migration is None:
        _a_new_migration(connection, settings, found)
        checks.provider(settings)
        checks.jobs(settings)
        migration = create(connection, settings, found)
    if migration.state == "planned":
        storage.expand(connection, migration)
        with connection.transaction():
            # Another `start` at this very moment waits here, and finds it done
            ledger.install(connection)
            if ledger.get(connection, migration.id).state == "planned":
                limits.set_limits(connection, migration.id, budget=budget, until=until)
                chunks.plan(connection, migration, settings.backfill_order_column)
                ledger.change_state(connection, migration, "backfilling")
    else:
        refuse_stopped(migration)
        with connection.transaction():
            limits.set_limits(connection, migration.id, budget=budget, until=until)
    # Of chunks that wait, some messages may be lost; one too many does no harm
    chunks.rescue(connection, migration.id, max_strikes=settings.max_chunk_attempts)
    chunks.forget_messages(connection, migration.id, older_than_seconds=0)
    dispatch.publish(connection, migration.id)
    counts = chunks.count(connection, migration.id)
    return Started(
        ledger.get(connection, migration.id),
        begun,
        counts.pending + counts.running + counts.done + counts.failed,
    )


def _look(connection: Connection, settings: Settings) -> catalog.Description:
    """The table, with all that matters whether a migration is under way or not. Raises errors.Usage."""
    found = checks.documents_table(connection, settings)
    for check in checks.OF_ANY_MIGRATION:
        check(connection, settings, found)
    return found


def _a_new_migration(connection: Connection, settings: Settings, found: catalog.Description) -> None:
    """That one of this table may begin, as far as the database can tell. Raises errors.Usage."""
    for check in checks.OF_A_NEW_MIGRATION:
        check(connection, settings, found)


def under_way(connection: Connection, settings: Settings, found: catalog.Description) -> Migration | None:
    """The migration of this table that is under way. Raises ledger.AnotherMigration if it goes elsewhere."""
    migration = ledger.find(connection, found.table.schema, found.table.name)
    if migration is None or migration.state in ("cleaned", "aborted"):
        return None
    if (migration.new_model, migration.table) != (settings.new_model, found.table):
        raise ledger.another(migration)
    return migration


def refuse_stopped(migration: Migration) -> None:
    """That `start` may go on with it: somebody, or a fault, may have stopped it. Raises Paused, FailedBefore."""
    if migration.state == "paused":
        raise Paused(migration=migration.id, reason=migration.reason)
    if migration.state == "failed":
        raise FailedBefore(migration=migration.id, reason=migration.reason)


def create(connection: Connection, settings: Settings, found: catalog.Description) -> Migration:
    """A migration in state `planned`, in a ledger that is installed if need be. Raises ledger.AnotherMigration."""
    chunk_size = settings.chunk_size
    if chunk_size is None:
        count = documents.count_all(connection, _unsaved(settings, found))
        chunk_size = planning.chunk_size(count, settings.provider_mode)
    with connection.transaction():
        ledger.install(connection)
        grants.flag(connection, found.table)
        return ledger.create(
            connection,
            found.table,
            old_type=found.old_type,
            old_dimensions=found.old_dimensions,
            old_model=settings.old_model(found.old_dimensions),
            new_model=settings.new_model,
            index_method=settings.index_method,
            metric=settings.index_metric,
            chunk_size=chunk_size,
        )


def _unsaved(settings: Settings, found: catalog.Description) -> Migration:
    """A migration that no ledger has, for the queries that need only its table's names."""
    return Migration(
        id=0,
        table=found.table,
        old_type=found.old_type,
        old_dimensions=found.old_dimensions,
        old_model=None,
        new_model=settings.new_model,
        new_model_id=0,
        index_method=settings.index_method,
        metric=settings.index_metric,
        chunk_size=1,
        state="planned",
        reason=None,
    )
