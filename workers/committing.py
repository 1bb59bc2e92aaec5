"""Committing an answer: what the database takes of it, and whose affair the rest is."""

from dataclasses import dataclass, replace

import psycopg

from reembed.database import chunks, documents, faults, ledger
from workers.batches import Result
from workers.database import Database

Rules = dict[documents.Document, str]
"""Why the database refuses a document: the name of the rule, and not what PostgreSQL says, which may quote the row."""

# Its row was to be written, no error came, and it is as it was
_NOT_KEPT = "it took it and did not keep it: a trigger returns NULL, or a policy hides the row"


@dataclass(frozen=True)
class _Table:
    """Where one attempt at a chunk writes to."""

    database: Database
    migration: ledger.Migration
    claim: chunks.Claim
    lease_seconds: float

    def store(self, wanted: Result) -> Rules:
        """Write it; what the database takes without an error and without effect. Left alone, it would be paid for again
        at every tick."""
        unkept = self._write(wanted)
        if unkept:
            # Once more, for a text that was changed and changed back meanwhile looks the same
            rows = [row for row, document in enumerate(wanted.embedded) if document in unkept]
            again = [wanted.embedded[row] for row in rows]
            unkept = self._write(Result(again, wanted.vectors[rows], {}, 0, wanted.too_long))
        return dict.fromkeys(unkept, _NOT_KEPT)

    def _write(self, wanted: Result) -> set[documents.Document]:
        """Those that were not written, though nobody changed or deleted them meanwhile."""
        written = self.database.call(
            lambda connection: documents.write_batch(
                connection, self.migration, self.claim, wanted.embedded, wanted.vectors, wanted.refused,
                tokens=wanted.tokens, too_long=wanted.too_long, lease_seconds=self.lease_seconds,
            )
        )  # fmt: skip
        if written == len(wanted.embedded):
            return set()
        return set(
            self.database.call(
                lambda connection: documents.not_kept(connection, self.migration, self.claim, wanted.embedded)
            )
        )

    def store_apart(self, wanted: Result) -> Rules:
        """Refusals by document, none of them written down yet."""
        try:
            return self.store(wanted)
        except psycopg.Error as error:
            return self.halved(wanted, error)

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

    A refused statement is halved until the document stands alone; it is recorded, and its neighbours are written. So is
    one whose row stays as it was, without an error. Where not one of several documents is taken, no document is to
    blame but whatever refuses them all.
    Raises errors.LeaseLost, faults.DatabaseTakesNothing.
    """
    table = _Table(database, migration, claim, lease_seconds)
    rest = Result([], result.vectors[:0], {}, 0)
    try:
        rules = table.store(result)
        if not rules:
            return
    except psycopg.Error as error:
        # The bill and the provider's refusals wait for the end, so that a refused half takes them nowhere
        rest = replace(rest, refused=result.refused, tokens=result.tokens)
        rules = table.halved(replace(result, refused={}, tokens=0), error)
    if len(rules) == len(result.embedded) > 1 and len(set(rules.values())) == 1:
        (rule,) = set(rules.values())
        raise faults.DatabaseTakesNothing(count=len(rules), rule=rule)
    refused = {document: f"The database refuses its vector ({rule})." for document, rule in rules.items()}
    table.store(replace(rest, refused=rest.refused | refused))
