"""A worker that claims chunks which go by jobs, and what there is to see of them."""

from collections.abc import Callable
from typing import Any

from psycopg import sql

from config.settings import Settings
from orchestrator.embedded.provider import EmbeddingServer
from reembed.database.connection import Connection
from reembed.database.ledger import Migration
from tests import installation, waiting
from workers import backfill
from workers.tools import Tools

MODEL = "lexical-ngrams"
DOCUMENTS = sql.Identifier("documents")
# The texts of chunk 1, whose keys are 7, 14, 21, 28, 35
FIRST = installation.texts(12)[:5]

Made = Callable[[], list[dict[str, Any]]]
Paid = Callable[[], list[int]]
Count = Callable[[], int]


def embed_once(settings: Settings, migration: Migration, number: int = 1) -> str:
    """What became of a chunk that a worker claimed once."""
    tools = Tools(settings)
    try:
        return backfill.embed_chunk(tools, migration.id, number)
    finally:
        tools.close()


def embed(settings: Settings, migration: Migration, number: int = 1) -> str:
    """What became of it, once nobody waits for the provider any more."""
    return waiting.until(
        lambda: (
            became
            if not (became := embed_once(settings, migration, number)).startswith(("waits", "another"))
            else None
        ),
        seconds=30,
    )


def chunk(database: Connection, migration: Migration, number: int = 1) -> tuple[Any, ...]:
    """Its state, its strikes and what it waits for."""
    ((state, strikes, waiting_for),) = database.execute(
        "SELECT state, strikes, waiting_for FROM reembed.chunks WHERE migration_id = %s AND number = %s",
        [migration.id, number],
    ).fetchall()
    return state, strikes, waiting_for


def embedded(database: Connection) -> list[int]:
    rows = database.execute("SELECT id FROM documents WHERE embedding_v2 IS NOT NULL ORDER BY id")
    return [key for (key,) in rows]


def wrong(database: Connection) -> list[int]:
    """Of the first chunk: documents without the vector of their text."""
    return [key for key in installation.wrong_documents(database, DOCUMENTS) if key <= 35]


def resume_at_once(database: Connection) -> None:
    """What was put off is due."""
    database.execute("UPDATE reembed.chunks SET retry_at = NULL")


def tokens(provider: EmbeddingServer) -> int:
    """Billed so far, by the provider's own count."""
    return provider.usage().get(MODEL, {}).get("tokens", 0)
