"""Jobs of a migration that nobody waits for any more."""

from config.settings import Settings
from reembed import errors
from reembed.database import jobs
from reembed.database.connection import Connection
from reembed.database.jobs import Open
from reembed.database.ledger import Migration
from reembed.embedding.jobs import Jobs
from reembed.embedding.provider import Provider


def cancel(connection: Connection, settings: Settings, migration: Migration) -> tuple[list[Open], list[Open]]:
    """Cancel what the provider still has of a migration that was given up: those that were, and those that were not.

    Best effort: a provider that is away bills what it does.
    """
    there = jobs.all_open(connection, migration.id)
    cancelled: list[Open] = []
    if there:
        try:
            with Provider(
                settings.new_endpoint, migration.new_model, timeout_seconds=settings.provider_timeout_seconds
            ) as provider:
                cancelled = [job for job in there if _cancel(Jobs(provider), job)]
        except errors.ReembedError:
            pass
    return cancelled, [job for job in there if job not in cancelled]


def _cancel(provider: Jobs, job: Open) -> bool:
    name = job.name
    if name is None:
        found = provider.find(str(job.key), job.created_at)
        # It never was
        if found is None:
            return True
        name = found.id
    return provider.cancel(name)
