"""Batches: the pending documents of a chunk, cut into provider requests."""

import functools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from reembed import settings
from reembed.database import chunks, documents, ledger
from reembed.database.connection import Connection
from reembed.embedding import packing
from reembed.embedding.bisection import Apart
from workers import overlong
from workers.database import Database
from workers.duplicates import Copies, Duplicates, Group
from workers.overlong import Prepared
from workers.quota import Quota
from workers.ruler import Ruler

# Batches fetched in one query: few round trips, bounded memory. Texts of 16 kB on the mean fill a page of 500 a batch
_BATCHES_A_PAGE = 4
_BYTES_A_PAGE = 32_000_000


@dataclass(frozen=True)
class Result:
    """What one batch's answers make of its documents."""

    embedded: list[documents.Document]
    vectors: NDArray[np.float32]
    """(embedded, dimensions)."""
    refused: dict[documents.Document, str]
    tokens: int
    too_long: dict[documents.Document, documents.TooLong] = field(default_factory=dict)

    def halves(self) -> "tuple[Result, Result]":
        """The same in two parts. Refusals and the bill go with the first."""
        middle = len(self.embedded) // 2
        return (
            Result(self.embedded[:middle], self.vectors[:middle], self.refused, self.tokens, self.too_long),
            Result(self.embedded[middle:], self.vectors[middle:], {}, 0, self.too_long),
        )


@dataclass(frozen=True)
class Batch:
    """The documents of one commit, and what has to be asked for them: one request, as a rule."""

    groups: list[Group]
    texts: list[Prepared]
    """One for each group."""
    requests: list[range]
    """Positions in `sent`."""
    prefix_tokens: int = 0
    refused: Mapping[documents.Document, str] = field(default_factory=dict)
    """Nobody is asked about these."""
    copies: Copies | None = None

    @property
    def documents(self) -> int:
        """How many there are by now: later ones of a text that is in flight join its group."""
        return sum(map(len, self.groups)) + len(self.refused) + (len(self.copies[0]) if self.copies else 0)

    @functools.cached_property
    def sent(self) -> list[str]:
        """The parts of all texts, in order."""
        return [part for text in self.texts for part in text.parts]

    @functools.cached_property
    def _lengths(self) -> dict[str, int]:
        if any(text.bounded for text in self.texts):
            return {}
        return {
            part: self.prefix_tokens + length
            for text in self.texts
            for part, length in zip(text.parts, text.lengths, strict=True)
        }

    def estimate(self, sent: Sequence[str]) -> int:
        """Tokens of a request for some of what is sent, 1 for a text that is no part of it; 0: nobody counted."""
        if not self._lengths:
            return 0
        return sum(self._lengths.get(part, 1) for part in sent)

    def result(self, answers: Sequence[Apart]) -> Result:
        """One answer for each of `requests`, or for the first of them: the rest was not asked for."""
        if not self.requests:
            copied, vectors, too_long = self.copies or ([], np.empty((0, 0), np.float32), {})
            return Result(copied, vectors, dict(self.refused), 0, too_long)
        row_of: dict[int, int] = {}
        refusals: dict[int, str] = {}
        for request, answer in zip(self.requests, answers, strict=False):
            for position in answer.accepted:
                row_of[request.start + position] = len(row_of)
            refusals |= {request.start + position: str(error) for position, error in answer.refused.items()}
        vectors = np.concatenate([answer.vectors for answer in answers])
        tokens = sum(answer.tokens for answer in answers)
        return self._result(row_of, refusals, vectors, tokens)

    def _result(
        self, row_of: dict[int, int], refusals: dict[int, str], vectors: NDArray[np.float32], tokens: int
    ) -> Result:
        embedded: list[documents.Document] = []
        rows: list[int] = []
        refused: dict[documents.Document, str] = {}
        too_long: dict[documents.Document, documents.TooLong] = {}
        means: list[NDArray[np.float32]] = []
        first = 0
        for group, text in zip(self.groups, self.texts, strict=True):
            parts = range(first, first + len(text.parts))
            first = parts.stop
            # A text that is refused in part has no vector
            reason = next((refusals[part] for part in parts if part in refusals), None) if refusals else None
            if reason is not None:
                refused |= dict.fromkeys(group, reason)
                continue
            row = row_of.get(parts.start, -1)
            if len(parts) > 1 and all(part in row_of for part in parts):
                row = len(vectors) + len(means)
                means.append(overlong.mean(vectors[[row_of[part] for part in parts]], text.lengths))
            elif len(parts) > 1 or row < 0:
                # It was not asked for, or not to its end
                continue
            embedded += group
            rows += [row] * len(group)
            if text.too_long:
                too_long |= dict.fromkeys(group, text.too_long)
        whole = np.concatenate([vectors, np.array(means)]) if means else vectors
        return Result(embedded, whole[rows], refused, tokens, too_long)


def of_chunk(
    database: Database,
    migration: ledger.Migration,
    claim: chunks.Claim,
    model: settings.Model,
    environment: Settings,
    *,
    ruler: Ruler,
    quota: Quota,
    duplicates: Duplicates,
) -> Iterator[Batch]:
    """The chunk's pending documents, fetched a few batches at a time."""
    after = None
    # Nobody knows yet how long the texts are
    limit = environment.embed_batch_size
    while True:
        page = database.call(functools.partial(_fetch, migration, claim, after, limit))
        groups, answered = duplicates.group(page)
        copies, missing = duplicates.copies(database, migration, claim, answered)
        groups += duplicates.group(missing)[0]
        yield from cut(groups, model.document_prefix, environment, ruler, quota.limits, copies)
        if len(page) < limit:
            return
        after = page[-1].id
        limit = next_limit(page, environment.embed_batch_size)


def next_limit(page: Sequence[documents.Document], batch_size: int) -> int:
    """How many documents to fetch after this page: as many as fit if they are as long as its own, and at least one."""
    # As they are in memory, which is not measured by the characters
    mean = sum(sys.getsizeof(document.content) for document in page) / len(page)
    return min(batch_size * _BATCHES_A_PAGE, max(int(_BYTES_A_PAGE / mean), 1))


def _fetch(
    migration: ledger.Migration, claim: chunks.Claim, after: object, limit: int, connection: Connection
) -> list[documents.Document]:
    return documents.fetch_batch(connection, migration, claim, after=after, limit=limit)


def cut(
    groups: list[Group],
    prefix: str,
    environment: Settings,
    ruler: Ruler,
    limits: tuple[int, int],
    copies: Copies | None = None,
) -> Iterator[Batch]:
    """Groups as batches: cut to size, as many as a request may hold. What needs no request comes first.

    `prefix` is sent before every text, and counts like the rest of it. `limits` are requests and tokens a minute.

    Counting costs a quarter of the CPU that a document costs. A bound is enough where requests are full of documents
    before they are full of tokens, and no limit counts tokens.
    """
    size = environment.embed_batch_size
    most = packing.largest_request(environment.embed_batch_tokens, *limits)
    # By the ruler's measure, not the provider's
    most = max(int(most / ruler.ratio), 1)
    prefix_tokens = ruler.count(prefix) if prefix else 0
    room = environment.embed_max_input_tokens - prefix_tokens

    def prepare(*, counted: bool) -> tuple[list[tuple[Group, Prepared]], list[range]]:
        pairs = [
            (
                group,
                overlong.prepare(group[0].content, ruler, room, environment.embed_overlong, counted=counted),
            )
            for group in groups
        ]
        lengths = [prefix_tokens * len(text.parts) + sum(text.lengths) for _, text in pairs if text.parts]
        return pairs, list(packing.pack(lengths, size, most))

    counted = ruler.exact or bool(limits[1])
    pairs, packed = prepare(counted=counted)
    if not counted and len(packed) > math.ceil(len(groups) / size):
        pairs, packed = prepare(counted=True)
    refused = {document: text.refusal for group, text in pairs if text.refusal for document in group}
    if refused or copies:
        yield Batch([], [], [], refused=refused, copies=copies)
    asked = [(group, text) for group, text in pairs if text.parts]
    for part in packed:
        within = asked[part.start : part.stop]
        texts = [text for _, text in within]
        sent = [prefix_tokens + length for text in texts for length in text.lengths]
        # More than one where texts have parts
        requests = list(packing.pack(sent, size, most))
        yield Batch([group for group, _ in within], texts, requests, prefix_tokens)
