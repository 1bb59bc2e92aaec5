"""Documents of the same text in one chunk: the text is sent once, however far apart they are.

1. Within a page they are one group.
2. A later page's document whose text is in flight joins the group of the first, and is written with it.
3. One whose text was answered before gets a copy of that vector, read from the table by its key and only if it is
   still of this text. What is remembered of a text is its hash and a key, so a chunk's worth is a few megabytes. Where
   the vector is just being written, the copy waits for it.

Across chunks nothing is remembered: docs/decisions.md says what that would cost.
"""

import uuid
from collections.abc import Iterable
from concurrent import futures
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reembed.database import chunks, documents, ledger
from workers.database import Database

Group = list[documents.Document]
"""Documents of one text: it is embedded once."""

Copies = tuple[list[documents.Document], NDArray[np.float32], dict[documents.Document, documents.TooLong]]
"""Documents whose text has its vector already, the vectors, and what was done to those texts that were too long."""


class Duplicates:
    """Of one attempt at a chunk; used by one thread."""

    def __init__(self) -> None:
        self._in_flight: dict[uuid.UUID, Group] = {}
        # By text: the key of a document that has it, and its commit
        self._answered: dict[uuid.UUID, tuple[Any, Future[Any]]] = {}
        self._too_long: dict[uuid.UUID, documents.TooLong] = {}

    def group(self, page: Iterable[documents.Document]) -> tuple[list[Group], list[documents.Document]]:
        """The texts of the page that have to be sent, and the documents whose text was answered before."""
        groups: list[Group] = []
        answered: list[documents.Document] = []
        for document in page:
            if document.content_hash in self._answered:
                answered.append(document)
            elif group := self._in_flight.get(document.content_hash):
                group.append(document)
            else:
                self._in_flight[document.content_hash] = [document]
                groups.append(self._in_flight[document.content_hash])
        return groups, answered

    def answer(
        self, groups: Iterable[Group], too_long: Iterable[documents.TooLong | None], written: Future[Any]
    ) -> None:
        """These texts were answered, and the groups are complete: they are being `written` now.

        `too_long` has what was done to the text of each group.
        """
        for (first, *_), done in zip(groups, too_long, strict=True):
            self._in_flight.pop(first.content_hash, None)
            self._answered[first.content_hash] = first.id, written
            if done is not None:
                self._too_long[first.content_hash] = done

    def copies(
        self,
        database: Database,
        migration: ledger.Migration,
        claim: chunks.Claim,
        answered: list[documents.Document],
    ) -> tuple[Copies | None, list[documents.Document]]:
        """Vectors for documents whose text was answered before; and the documents for which there is none.

        A text that was refused has none, and one that changed meanwhile. The old column, kept fresh after the
        switch, has no hash beside it to prove a copy by.
        """
        found: dict[uuid.UUID, NDArray[np.float32]] = {}
        if answered and claim.side == "new":
            known = {document.content_hash: self._answered[document.content_hash] for document in answered}
            futures.wait({written for _, written in known.values()})
            wanted = {content_hash: key for content_hash, (key, _) in known.items()}
            found = database.call(lambda connection: documents.fresh_vectors(connection, migration, wanted))
        copied = [document for document in answered if document.content_hash in found]
        vectors = np.array([found[document.content_hash] for document in copied], np.float32)
        missing = [document for document in answered if document.content_hash not in found]
        for document in missing:
            self._answered.pop(document.content_hash, None)
        too_long = {
            document: self._too_long[document.content_hash]
            for document in copied
            if document.content_hash in self._too_long
        }
        return (copied, vectors, too_long) if copied else None, missing
