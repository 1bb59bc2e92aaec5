"""Looks at every document at the end: is its text the one that was acknowledged, and its vector the text's own?"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from orchestrator.embedding_server import models
from tests import installation
from tests.chaos.application import POISON, Memory


@dataclass
class Findings:
    documents: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """lost, stale, wrong."""
    examples: list[str] = field(default_factory=list)

    def add(self, kind: str, key: int, what: str) -> None:
        self.counts[kind] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{kind}: document {key} {what}")


def check(
    connection: psycopg.Connection[Any], memories: list[Memory], column: str, model: str, dimensions: int
) -> Findings:
    """Every document of one column.

    lost: the text or its vector is not there; stale: the vector is an earlier text's; wrong: the vector is neither's,
    or the document is not what the application was promised.
    """
    findings = Findings()
    documents = sql.Identifier("documents")
    vectors_in = installation.companion_of(connection, documents, column) or documents
    rows = connection.execute(
        sql.SQL("SELECT d.id, d.content, v.{} FROM documents d LEFT JOIN {} v ON v.id = d.id").format(
            sql.Identifier(column), vectors_in
        ),
        binary=True,
    ).fetchall()
    found = {row[0]: (row[1], row[2]) for row in rows}
    refused = {
        int(row[0])
        for row in connection.execute(
            "SELECT f.document_id FROM reembed.failures f JOIN documents d ON d.id::text = f.document_id "
            "WHERE f.content_hash = md5(d.content)::uuid AND f.side = 'new'"
        )
    }
    findings.documents = len(found)
    vectors = _expected([content for content, _ in found.values() if content], model, dimensions)
    for memory in memories:
        for promise in memory.broken_promises:
            findings.add("wrong", 0, promise)
        for key, text in memory.texts.items():
            if text is None:
                if key in found:
                    findings.add("wrong", key, "was deleted and is there")
            elif key not in found:
                findings.add("lost", key, "is not there")
            else:
                content, vector = found[key]
                _check_one(
                    findings, key, text, content, vector, key in refused, memory, vectors, model, dimensions
                )
    return findings


def _check_one(
    findings: Findings,
    key: int,
    text: str,
    content: str,
    vector: Any,
    is_refused: bool,
    memory: Memory,
    vectors: dict[str, NDArray[np.float32]],
    model: str,
    dimensions: int,
) -> None:
    if content != text:
        findings.add("wrong", key, "has another text than was acknowledged")
    elif not text:
        return
    elif text.startswith(POISON):
        # Its earlier vector may stay, so that it can be found; the refusal has to be on record
        if not is_refused:
            findings.add("lost", key, "is refused by the provider, and no failure is recorded")
    elif vector is None:
        findings.add("lost", key, "has no vector")
    elif not _same(vector, vectors[content]):
        earlier = _expected(sorted(memory.earlier.get(key, set()) - {text}), model, dimensions)
        stale = any(_same(vector, before) for before in earlier.values())
        findings.add("stale" if stale else "wrong", key, "has the vector of another text")


def _expected(texts: list[str], model: str, dimensions: int) -> dict[str, NDArray[np.float32]]:
    if not texts:
        return {}
    return dict(zip(texts, models.embed(model, texts, dimensions), strict=True))


def _same(stored: Any, expected: NDArray[np.float32]) -> bool:
    vector = np.asarray(stored)
    return vector.shape == expected.shape and bool(np.allclose(vector, expected, atol=1e-6))
