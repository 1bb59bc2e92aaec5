"""Batches: the pending documents of a chunk, cut into provider requests."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from reembed import settings
from reembed.database import chunks, documents, ledger
from reembed.database.connection import Connection
from reembed.embedding import packing, tokens
from reembed.embedding.bisection import Apart
from workers.database import Database

# Batches fetched in one query: few round trips, bounded memory
_BATCHES_A_PAGE = 4

Group = list[documents.Document]
"""Documents of one text: it is embedded once."""


@dataclass(frozen=True)
class Batch:
    """The documents of one provider request and one commit."""

    groups: list[Group]
    texts: list[str]
    """One for each group, cut to what the provider takes."""
    estimated_tokens: int
    """Where no quota counts tokens, a bound."""

    def result(self, apart: Apart) -> "Result":
        accepted = [self.groups[position] for position in apart.accepted]
        return Result(
            embedded=[document for group in accepted for document in group],
            # A vector for each document of its group
            vectors=np.repeat(apart.vectors, [len(group) for group in accepted], axis=0),
            refused={
                document: str(error)
                for position, error in apart.refused.items()
                for document in self.groups[position]
            },
            tokens=apart.tokens,
        )


@dataclass(frozen=True)
class Result:
    """What became of a batch, ready to be committed."""

    embedded: list[documents.Document]
    vectors: NDArray[np.float32]
    """Of shape (embedded, dimensions)."""
    refused: dict[documents.Document, str]
    tokens: int

    def halves(self) -> "tuple[Result, Result]":
        """The same in two parts. Refusals and the bill go with the first."""
        middle = len(self.embedded) // 2
        return (
            Result(self.embedded[:middle], self.vectors[:middle], self.refused, self.tokens),
            Result(self.embedded[middle:], self.vectors[middle:], {}, 0),
        )


def of_chunk(
    database: Database,
    migration: ledger.Migration,
    claim: chunks.Claim,
    model: settings.Model,
    environment: Settings,
) -> Iterator[Batch]:
    """Every pending document of the chunk, in key order, each in one batch. Fetches a page when it is needed."""
    after = None
    limit = environment.embed_batch_size * _BATCHES_A_PAGE
    while True:
        page = database.call(functools.partial(_fetch, migration, claim, after, limit))
        if page:
            yield from cut(page, model.document_prefix, environment)
        if len(page) < limit:
            return
        after = page[-1].id


def _fetch(
    migration: ledger.Migration, claim: chunks.Claim, after: object, limit: int, connection: Connection
) -> list[documents.Document]:
    return documents.fetch_batch(connection, migration, claim, after=after, limit=limit)


def cut(page: list[documents.Document], prefix: str, environment: Settings) -> Iterator[Batch]:
    """A page of documents as batches: one text once, cut to size, as many as a request may hold.

    `prefix` is sent before every text, and counts like the rest of it.
    """
    by_text: dict[object, Group] = {}
    for document in page:
        by_text.setdefault(document.content_hash, []).append(document)
    groups = list(by_text.values())
    texts = [group[0].content for group in groups]
    if environment.embed_overlong == "truncate":
        room = environment.embed_max_input_tokens - tokens.estimate(prefix)
        texts = [tokens.truncate(text, room) for text in texts]
    lengths, parts = _packed(texts, prefix, environment)
    for part in parts:
        within = slice(part.start, part.stop)
        yield Batch(groups[within], texts[within], sum(lengths[within]))


def _packed(texts: list[str], prefix: str, environment: Settings) -> tuple[list[int], list[range]]:
    """The texts' lengths in tokens, and the requests that they make.

    An estimate costs a quarter of the CPU that a document costs. A bound is enough where requests are full of documents
    before they are full of tokens, and no quota counts tokens.
    """
    size, most = environment.embed_batch_size, environment.embed_batch_tokens

    def pack(measure: Callable[[str], int]) -> tuple[list[int], list[range]]:
        of_prefix = measure(prefix)
        lengths = [of_prefix + measure(text) for text in texts]
        return lengths, list(packing.pack(lengths, size, most))

    if not environment.embed_tokens_per_minute:
        lengths, parts = pack(tokens.bound)
        if len(parts) == math.ceil(len(texts) / size):
            return lengths, parts
    return pack(tokens.estimate)
