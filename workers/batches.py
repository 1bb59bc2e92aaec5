"""Batches: the pending documents of a chunk, cut into provider requests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from reembed import settings
from reembed.database import chunks, documents, ledger
from reembed.database.connection import Connection
from reembed.embedding import packing
from reembed.embedding.bisection import Apart
from workers import overlong
from workers.duplicates import Copies, Duplicates, Group
from workers.overlong import Prepared
from workers.quota import Quota
from workers.ruler import Ruler

# Batches fetched in one query: few round trips, bounded memory
_BATCHES_A_PAGE = 4


@dataclass(frozen=True)
class Result:
    """What became of a batch, ready to be committed."""

    embedded: list[documents.Document]
    vectors: NDArray[np.float32]
    """Of shape (embedded, dimensions)."""
    refused: dict[documents.Document, str]
    tokens: int
    too_long: Mapping[documents.Document, documents.TooLong] = field(default_factory=dict)

    def halves(self) -> "tuple[Result, Result]":
        """The same in two parts. Refusals and the bill go with the first."""
        middle = len(self.embedded) // 2
        return (
            Result(self.embedded[:middle], self.vectors[:middle], self.refused, self.tokens, self.too_long),
            Result(self.embedded[middle:], self.vectors[middle:], {}, 0, self.too_long),
        )

    def refused_for(self, reason: str) -> "Result":
        """The same with all its documents refused."""
        everyone = dict.fromkeys(self.embedded, reason)
        return Result([], self.vectors[:0], self.refused | everyone, self.tokens)


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

    @cached_property
    def sent(self) -> list[str]:
        """The parts of all texts, in order."""
        return [part for text in self.texts for part in text.parts]

    @cached_property
    def _lengths(self) -> dict[str, int]:
        return {
            part: self.prefix_tokens + length
            for text in self.texts
            for part, length in zip(text.parts, text.lengths, strict=True)
        }

    def estimate(self, sent: Sequence[str]) -> int:
        """Tokens of a request for some of what is sent; 1 for a text that is no part of it."""
        return sum(self._lengths.get(part, 1) for part in sent)

    def result(self, *answers: Apart) -> Result:
        """One answer for each of `requests`."""
        if not answers:
            assert self.copies is not None  # noqa: S101  nothing was asked: see `settled`
            copied, vectors = self.copies
            return Result(copied, vectors, dict(self.refused), 0)
        starts = [request.start for request in self.requests]
        refusals = {
            start + position: str(error)
            for start, answer in zip(starts, answers, strict=True)
            for position, error in answer.refused.items()
        }
        places = {
            start + position
            for start, answer in zip(starts, answers, strict=True)
            for position in answer.accepted
        }
        row_of = {place: row for row, place in enumerate(sorted(places))}
        vectors = np.concatenate([answer.vectors for answer in answers])
        embedded: list[documents.Document] = []
        rows: list[NDArray[np.float32]] = []
        refused: dict[documents.Document, str] = {}
        too_long: dict[documents.Document, documents.TooLong] = {}
        first = 0
        for group, text in zip(self.groups, self.texts, strict=True):
            parts = range(first, first + len(text.parts))
            first = parts.stop
            # A text that is refused in part has no vector
            reason = next((refusals[part] for part in parts if part in refusals), None)
            if reason is not None:
                refused |= dict.fromkeys(group, reason)
                continue
            own = vectors[[row_of[part] for part in parts]]
            rows += [own[0] if len(parts) == 1 else overlong.mean(own, text.lengths)] * len(group)
            embedded += group
            if text.too_long:
                too_long |= dict.fromkeys(group, text.too_long)
        matrix = np.array(rows, np.float32).reshape(len(rows), vectors.shape[1])
        return Result(embedded, matrix, refused, sum(answer.tokens for answer in answers), too_long)


def of_chunk(
    connection: Connection,
    migration: ledger.Migration,
    claim: chunks.Claim,
    model: settings.Model,
    environment: Settings,
    *,
    ruler: Ruler,
    quota: Quota,
    duplicates: Duplicates,
) -> Iterator[Batch]:
    """Every pending document of the chunk, in key order, each in one batch. Fetches a page when it is needed."""
    after = None
    limit = environment.embed_batch_size * _BATCHES_A_PAGE
    while True:
        page = documents.fetch_batch(connection, migration, claim, after=after, limit=limit)
        groups, answered = duplicates.group(page)
        copies, missing = duplicates.copies(connection, migration, claim, answered)
        groups += duplicates.group(missing)[0]
        yield from cut(groups, model.document_prefix, environment, ruler, quota.limits, copies)
        if len(page) < limit:
            return
        after = page[-1].id


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
    """
    prefix_tokens = ruler.count(prefix) if prefix else 0
    room = environment.embed_max_input_tokens - prefix_tokens
    prepared = [
        overlong.prepare(group[0].content, ruler, room, environment.embed_overlong) for group in groups
    ]
    refused = {
        document: text.refusal
        for group, text in zip(groups, prepared, strict=True)
        if text.refusal
        for document in group
    }
    if refused or copies:
        yield Batch([], [], [], refused=refused, copies=copies or ([], np.empty((0, 0), np.float32)))
    asked = [pair for pair in zip(groups, prepared, strict=True) if not pair[1].refusal]
    most = packing.largest_request(environment.embed_batch_tokens, *limits)
    # By the ruler's measure, not the provider's
    most = max(int(most / ruler.ratio), 1)
    size = environment.embed_batch_size
    lengths = [prefix_tokens * len(text.parts) + sum(text.lengths) for _, text in asked]
    for part in packing.pack(lengths, size, most):
        within = asked[part.start : part.stop]
        texts = [text for _, text in within]
        sent = [prefix_tokens + length for text in texts for length in text.lengths]
        # More than one where texts have parts
        requests = list(packing.pack(sent, size, most))
        yield Batch([group for group, _ in within], texts, requests, prefix_tokens)
