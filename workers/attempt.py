"""One attempt at a chunk: of which migration, by which claim, with which model."""

from dataclasses import dataclass

from reembed import settings
from reembed.database import chunks, ledger


@dataclass(frozen=True)
class Attempt:
    migration: ledger.Migration
    claim: chunks.Claim
    model: settings.Model
    """That of the column which the chunk fills."""
