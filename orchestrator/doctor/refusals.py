"""What `start` refuses, as findings: the checks are its own, and an error's two halves are what and hint."""

import re

from orchestrator import checks, dispatch, start
from orchestrator.doctor.finding import Finding
from reembed import errors
from reembed.database import catalog, connection, distances, fitness, ledger, table
from reembed.embedding import jobs

IDS: dict[type[errors.ReembedError], str] = {
    connection.DatabaseUnreachable: "database.unreachable",
    connection.NotALibpqUrl: "database.url",
    fitness.NoExtension: "pgvector.missing",
    fitness.OldExtension: "pgvector.old",
    fitness.NoTable: "table.missing",
    table.InvalidTableName: "table.name",
    fitness.NoKey: "table.key",
    fitness.RowsHidden: "table.rls",
    fitness.NestedPartitions: "table.nested",
    checks.NoDocuments: "table.empty",
    fitness.NoColumn: "column.missing",
    fitness.WrongColumn: "column.type",
    catalog.NewColumnExists: "column.exists",
    table.NameTaken: "column.taken",
    table.NameTooLong: "column.long",
    table.NoRoomBesideOldColumn: "column.no_room",
    fitness.NotAllowed: "rights.table",
    fitness.NotAllowedToCreate: "rights.companion",
    fitness.NotAllowedToIndex: "rights.index",
    checks.MayNotInstall: "rights.schema",
    checks.MayNotRecord: "rights.ledger",
    checks.MayNotSee: "rights.statistics",
    checks.SameModel: "model.same",
    checks.SameAsOld: "model.old",
    distances.TooWideToIndex: "model.too_wide",
    checks.NoWidth: "old_model.width",
    ledger.AnotherMigration: "migration.another",
    start.Paused: "migration.paused",
    start.FailedBefore: "migration.failed",
    dispatch.BrokerUnreachable: "broker.unreachable",
    dispatch.BackendUnreachable: "backend.unreachable",
    errors.ProviderRefusedKey: "provider.key",
    errors.ProviderUnknownModel: "provider.model",
    errors.ProviderQuotaSpent: "provider.quota_spent",
    errors.ProviderUnreachable: "provider.unreachable",
    errors.ProviderAnsweredWrongly: "provider.answer",
    errors.ProviderOverloaded: "provider.overloaded",
    errors.ProviderUnavailable: "provider.unavailable",
    errors.RequestRefused: "provider.refused",
    jobs.NoJobs: "provider.no_jobs",
    jobs.JobRefused: "provider.jobs_refused",
}

_LATER = "Nothing was changed; try again in a minute."


def finding(error: errors.ReembedError) -> Finding:
    """An error that `start` would end with."""
    kind = type(error)
    otherwise = re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()
    return Finding(IDS.get(kind, f"start.{otherwise}"), "error", error.what, error.hint or _LATER)
