"""The OpenAI API as far as embeddings go: POST /v1/embeddings and GET /v1/models, on tornado.

Vectors are computed in the handler itself. That is work for one core, most of it under the interpreter's
lock: an executor would only interleave requests and make each of them slower. The artificial latency is
awaited first, so that many slow requests can be in flight at once, as with a real provider.
"""

import asyncio
import base64
import hmac
import json
from typing import Any

from tornado import web

from orchestrator.embedding_server import models, refusals, request, state


class Handler(web.RequestHandler):
    """A handler that wants the key and says no as OpenAI does."""

    def initialize(self, server: state.State, api_key: str) -> None:
        self.server = server
        self.api_key = api_key

    def prepare(self) -> None:
        scheme, _, key = self.request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not hmac.compare_digest(key.encode(), self.api_key.encode()):
            raise refusals.wrong_key(key)

    def write_json(self, body: object) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a Refusal in its own words, and a mistake of this server as a 500."""
        error = kwargs["exc_info"][1]
        refusal = error if isinstance(error, refusals.Refusal) else _not_refused(status_code, self._reason)
        self.set_status(refusal.status)
        for name, value in refusal.headers.items():
            self.set_header(name, value)
        self.write_json(refusal.body())

    def log_exception(self, *exc_info: Any) -> None:
        """A refusal is an answer, not an error: the access log has its status."""
        if not isinstance(exc_info[1], refusals.Refusal):
            super().log_exception(*exc_info)


class Embeddings(Handler):
    async def post(self) -> None:
        await asyncio.sleep(self.server.latency_seconds)
        if self.server.failures:
            raise self.server.failures.popleft()
        asked = request.parse(self.request.body)
        self.server.check(asked)
        vectors = models.embed(asked.model, asked.texts, asked.dimensions)
        self.server.usage[asked.model].add(asked)
        self.write_json(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": embedding}
                    for index, embedding in enumerate(_encode(vectors, asked.base64))
                ],
                "model": asked.model,
                "usage": {"prompt_tokens": asked.tokens, "total_tokens": asked.tokens},
            }
        )


class Models(Handler):
    def get(self) -> None:
        served = [name for name in models.SERVED if name not in self.server.retired]
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "reembed"} for name in served]
        self.write_json({"object": "list", "data": data})


def _encode(vectors: models.Vectors, as_base64: bool) -> list[str] | list[list[float]]:
    """As OpenAI: a list of numbers, or the bytes of little-endian float32 in base64."""
    if as_base64:
        return [base64.b64encode(vector).decode() for vector in vectors.astype("<f4", copy=False)]
    return vectors.tolist()  # type: ignore[no-any-return]  # numpy does not know how deep the list is


def _not_refused(status: int, reason: str) -> refusals.Refusal:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return refusals.Refusal(status, reason, type=kind)
