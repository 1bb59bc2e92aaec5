"""The provider: one embedding model at one endpoint that speaks the OpenAI embeddings API.

Requests go through the openai package's client, which knows about headers, proxies and connections, but below
its resources: `post` takes the body as bytes and gives the answer as bytes, reembed.embedding.wire does the
rest. That costs 20 to 30 µs of CPU a document of 768 dimensions, where `embeddings.create` costs 95 to 130.
"""

import dataclasses
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx2
import numpy as np
from numpy.typing import NDArray

from reembed import errors, settings
from reembed.embedding import announced, wire
from reembed.embedding.client import Client


class Provider:
    """One model at one endpoint. Threads may share it; make it after a fork, not before.

    One request is one attempt: whether to try again is the caller's decision (reembed.embedding.patience).

    Every method that asks raises
    - errors.Transient where another try may help,
    - errors.RequestRefused where one of the texts, or their sum, may be to blame,
    - errors.Broken where no text can be.
    """

    def __init__(
        self,
        endpoint: settings.Endpoint,
        model: settings.Model,
        timeout_seconds: float = 60.0,
        connections: int = 8,
    ) -> None:
        """Raises errors.Broken for an endpoint that cannot be right, without asking it.

        `timeout_seconds` is how long the server may stay silent, `connections` how many requests may
        be in flight.
        """
        self.model = model
        self.client = Client(endpoint, model.name, timeout_seconds=timeout_seconds, connections=connections)
        self._sends_dimensions = True

    @property
    def dimensions(self) -> int | None:
        """What a request says about the width of vectors; None where the server is known not to take it."""
        return self.model.dimensions if self._sends_dimensions else None

    def embed_documents(self, texts: Sequence[str]) -> wire.Embedded:
        """The vectors of the texts, (texts, dimensions), each with the model's document prefix before it.

        At least one text; one request.
        """
        return self._embed([self.model.document_prefix + text for text in texts])

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a query, (dimensions,), with the model's query prefix before it."""
        query: NDArray[np.float32] = self.embed_queries([text]).vectors[0]
        return query

    def embed_queries(self, texts: Sequence[str]) -> wire.Embedded:
        """The vectors of the queries, (queries, dimensions), and what they cost. At least one query; one request."""
        return self._embed([self.model.query_prefix + text for text in texts])

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _embed(self, texts: Sequence[str]) -> wire.Embedded:
        """Ask for the model's dimensions as long as the server takes that parameter.

        Only an answer proves that leaving it out was what mattered: a refusal may name it in passing. Threads
        that find out at the same time find out the same.
        """
        dimensions = self.dimensions
        try:
            return self._request(texts, dimensions)
        except errors.RequestRefused as refusal:
            if dimensions is None or "dimension" not in str(refusal).lower():
                raise
        embedded = self._request(texts, None)
        self._sends_dimensions = False
        return embedded

    def _request(self, texts: Sequence[str], dimensions: int | None) -> wire.Embedded:
        body = wire.encode(texts, self.model.name, dimensions)
        with self.client.asking(texts):
            answer = self.client.openai.post("/embeddings", content=body, cast_to=httpx2.Response)
        embedded = wire.decode(answer.content, len(texts), self.model)
        limits = announced.read(answer.headers)
        return embedded if limits is announced.NOTHING else dataclasses.replace(embedded, limits=limits)
