"""The answers of a job, read where the loop would ask the provider.

A job's answers are a file of lines, each with the digest of the text that it is the vector of. The loop goes through
the chunk's pending documents as ever, and finds what was answered by their text: a document that was changed meanwhile
finds nothing and stays pending, one that was copied finds its vector too.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from reembed import errors
from reembed.embedding import job_lines
from reembed.embedding.bisection import Apart
from reembed.embedding.job_lines import Answer
from reembed.embedding.provider import Provider
from workers.batches import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Answers:
    """Of one job that has ended. Threads may share it."""

    def __init__(self, file: BinaryIO, provider: Provider) -> None:
        """Reads the whole file once, and keeps where each answer stands."""
        self._file = file.fileno()
        self._model = provider.model
        self._client = provider.client
        self._places: dict[str, tuple[int, int]] = {}
        self.tokens = self.vectors = self.refusals = 0
        """Billed; and answers by what they are, as far as their status says."""
        self.fault: errors.Broken | None = None
        """The first answer that no text can be blamed for. Those beside it count."""
        place = file.seek(0)
        for line in file:
            answer = job_lines.decode(line)
            if answer is not None:
                self._places[answer.name] = place, len(line)
                self.tokens += answer.tokens
                self.vectors += answer.status == 200
                self.refusals += 400 <= answer.status < 500 and answer.status != 429
            place += len(line)

    def of(self, batch: Batch) -> list[Apart]:
        """What was answered to a batch, as if its requests had been made. The bill is the whole job's."""
        return [self._apart(batch.sent[request.start : request.stop]) for request in batch.requests]

    def _apart(self, texts: Sequence[str]) -> Apart:
        """Texts that were not answered are neither accepted nor refused."""
        vectors: list[NDArray[np.float32]] = [np.empty((0, self._model.dimensions), np.float32)]
        accepted: list[int] = []
        refused: dict[int, errors.DocumentRefused] = {}
        for position, text in enumerate(texts):
            answer = self._find(self._model.document_prefix + text)
            if answer is None:
                continue
            try:
                vectors.append(job_lines.vector(answer, self._model, self._client.asked([text])).vectors)
                accepted.append(position)
            except errors.RequestRefused as refusal:
                refused[position] = errors.DocumentRefused(reason=refusal.fields["reason"])
            except errors.Transient:
                pass
            except errors.Broken as fault:
                self.fault = self.fault or fault
        return Apart(np.concatenate(vectors), accepted, refused, tokens=0)

    def _find(self, text: str) -> Answer | None:
        place = self._places.get(job_lines.name(text))
        return place and job_lines.decode(os.pread(self._file, place[1], place[0]))
