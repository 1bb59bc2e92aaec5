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
import openai
from numpy.typing import NDArray

from reembed import errors, settings
from reembed.embedding import announced, faults, wire

# Seconds. A server that does not take a connection within this is not there
_CONNECT_TIMEOUT = 10.0
# Seconds that an idle connection is kept: a quota may space requests far apart, and TLS handshakes are dear
_KEEP_ALIVE = 60.0
# Base64 of vectors shrinks by a quarter, and unpacking it would cost as much CPU as all else here
_HEADERS = {"Accept-Encoding": "identity"}


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
        self._model = model
        self._api_key = endpoint.api_key.get_secret_value()
        self._sends_dimensions = True
        try:
            url = httpx2.URL(endpoint.base_url)
        except httpx2.InvalidURL as error:
            raise errors.ProviderUnreachable(base_url="an invalid address", reason=error) from None
        self._base_url = str(url.copy_with(userinfo=b"", query=None))
        if not (self._api_key and self._api_key.isascii() and self._api_key.isprintable()):
            reason = "it is empty, or no header can hold it: look for a line break at its end"
            raise errors.ProviderRefusedKey(base_url=self._base_url, reason=reason)
        timeout = httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_TIMEOUT))
        limits = httpx2.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEP_ALIVE
        )
        self._client = openai.OpenAI(
            base_url=url,
            api_key=self._api_key,
            max_retries=0,
            timeout=timeout,
            default_headers=_HEADERS,
            http_client=openai.DefaultHttpxClient(timeout=timeout, limits=limits),
        )

    def embed_documents(self, texts: Sequence[str]) -> wire.Embedded:
        """The vectors of the texts, (texts, dimensions), each with the model's document prefix before it.

        At least one text; one request.
        """
        return self._embed([self._model.document_prefix + text for text in texts])

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a query, (dimensions,), with the model's query prefix before it."""
        query: NDArray[np.float32] = self.embed_queries([text]).vectors[0]
        return query

    def embed_queries(self, texts: Sequence[str]) -> wire.Embedded:
        """The vectors of the queries, (queries, dimensions), and what they cost. At least one query; one request."""
        return self._embed([self._model.query_prefix + text for text in texts])

    def close(self) -> None:
        self._client.close()

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
        if not self._sends_dimensions:
            return self._request(texts, None)
        try:
            return self._request(texts, self._model.dimensions)
        except errors.RequestRefused as refusal:
            if "dimension" not in str(refusal).lower():
                raise
        embedded = self._request(texts, None)
        self._sends_dimensions = False
        return embedded

    def _request(self, texts: Sequence[str], dimensions: int | None) -> wire.Embedded:
        body = wire.encode(texts, self._model.name, dimensions)
        try:
            answer = self._client.post("/embeddings", content=body, cast_to=httpx2.Response)
        # Their tracebacks quote the request and the answer: ours stand alone
        except openai.APIStatusError as error:
            asked = faults.Asked(self._base_url, self._model.name, self._api_key, texts)
            raise faults.of_answer(
                error.status_code, error.response.headers, error.response.content, asked
            ) from None
        except openai.APIConnectionError as error:
            raise faults.of_silence(error, self._base_url) from None
        embedded = wire.decode(answer.content, len(texts), self._model)
        limits = announced.read(answer.headers)
        return embedded if limits is announced.NOTHING else dataclasses.replace(embedded, limits=limits)
