"""Committing an answer: what the database takes of it, and whose affair the rest is."""

from dataclasses import dataclass, replace

import psycopg

from reembed.database import chunks, documents, faults, ledger
from workers.batches import Result
from workers.database import Database

Rules = dict[documents.Document, str]
"""Why the database refuses a document: the name of the rule, and not what PostgreSQL says, which may quote the row."""


@dataclass(frozen=True)
class _Table:
    """Where one attempt at a chunk writes to."""

    database: Database
    migration: ledger.Migration
    claim: chunks.Claim
    lease_seconds: float

    def store(self, wanted: Result) -> None:
        self.database.call(
            lambda connection: documents.write_batch(
                connection, self.migration, self.claim, wanted.embedded, wanted.vectors, wanted.refused,
                tokens=wanted.tokens, too_long=wanted.too_long, lease_seconds=self.lease_seconds,
            )
        )  # fmt: skip

    def store_apart(self, wanted: Result) -> Rules:
        """Refusals by document, none of them written down yet."""
        try:
            self.store(wanted)
        except psycopg.Error as error:
            return self.halved(wanted, error)
        return {}

    def halved(self, wanted: Result, error: psycopg.Error) -> Rules:
        """The same for what was refused as a whole. Raises the error where it is no document's own affair."""
        if not wanted.embedded or not faults.is_one_documents(error):
            raise error
        if len(wanted.embedded) == 1:
            rule = f"{type(error).__name__}: {error.diag.constraint_name or error.sqlstate}"
            return {wanted.embedded[0]: rule}
        first, second = wanted.halves()
        return self.store_apart(first) | self.store_apart(second)


def commit(
    database: Database,
    migration: ledger.Migration,
    claim: chunks.Claim,
    result: Result,
    *,
    lease_seconds: float,
) -> None:
    """Commit what the database takes. A row that a constraint or a trigger refuses is that document's own affair.

    A refused statement is halved until the document stands alone; it is recorded, and its neighbours are written. Where
    not one of several documents is taken, no document is to blame but whatever refuses them all.
    Raises errors.LeaseLost, faults.DatabaseTakesNothing.
    """
    table = _Table(database, migration, claim, lease_seconds)
    try:
        table.store(result)
        return
    except psycopg.Error as error:
        # The bill and the provider's refusals wait for the end, so that a refused half takes them nowhere
        rules = table.halved(replace(result, refused={}, tokens=0), error)
    if len(rules) == len(result.embedded) > 1 and len(set(rules.values())) == 1:
        (rule,) = set(rules.values())
        raise faults.DatabaseTakesNothing(count=len(rules), rule=rule)
    refused = {document: f"The database refuses its vector ({rule})." for document, rule in rules.items()}
    table.store(Result([], result.vectors[:0], result.refused | refused, result.tokens))
