"""Committing an answer: what the database takes of it, and whose affair the rest is."""

from dataclasses import replace

import psycopg

from reembed.database import chunks, documents, faults, ledger
from workers.batches import Result
from workers.database import Database

Rules = dict[documents.Document, str]
"""Why the database refuses a document: the name of the rule, and not what PostgreSQL says, which may quote the row."""


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

    def store(wanted: Result) -> None:
        database.call(
            lambda connection: documents.write_batch(
                connection, migration, claim, wanted.embedded, wanted.vectors, wanted.refused,
                tokens=wanted.tokens, too_long=wanted.too_long, lease_seconds=lease_seconds,
            )
        )  # fmt: skip

    def apart(wanted: Result, error: psycopg.Error) -> Rules:
        """Refusals by document, none of them written down yet."""
        if len(wanted.embedded) == 1:
            return {
                wanted.embedded[0]: f"{type(error).__name__}: {error.diag.constraint_name or error.sqlstate}"
            }
        return {document: rule for half in wanted.halves() for document, rule in write(half).items()}

    def write(wanted: Result) -> Rules:
        try:
            store(wanted)
        except psycopg.Error as error:
            if not faults.is_one_documents(error):
                raise
            return apart(wanted, error)
        return {}

    try:
        store(result)
        return
    except psycopg.Error as error:
        if not faults.is_one_documents(error):
            raise
        # The bill and the provider's refusals wait for the end, so that a refused half takes them nowhere
        rules = apart(replace(result, refused={}, tokens=0), error)
    if len(rules) == len(result.embedded) > 1 and len(set(rules.values())) == 1:
        (rule,) = set(rules.values())
        raise faults.DatabaseTakesNothing(count=len(rules), rule=rule)
    refused = {document: f"The database refuses its vector ({rule})." for document, rule in rules.items()}
    store(Result([], result.vectors[:0], result.refused | refused, result.tokens))
