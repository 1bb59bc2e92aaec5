"""POST /v1/embeddings, as OpenAI answers it, or as the server was told to fail.

Vectors are computed in the handler itself. That is work for one core, most of it under the interpreter's
lock: an executor would only interleave requests and make each of them slower. The artificial latency is
awaited first, so that many slow requests can be in flight at once, as with a real provider.
"""

import asyncio
import base64
import time

from orchestrator.embedding_server import failing, faults, models, request, state


class Embeddings(failing.Failing):
    async def post(self) -> None:
        self.server.arrivals.append(time.time())
        if self.server.limits is not None:
            for name, value in self.server.limits.admit(request.parse(self.request.body)).items():
                self.set_header(name, value)
        await asyncio.sleep(self.server.latency_seconds)
        self.take_failure(faults.any_at_all)
        asked = request.parse(self.request.body)
        self.server.check(asked)
        await self.answer(embed(self.server, asked, self.failure))


def embed(
    server: state.State, asked: request.EmbeddingRequest, failure: state.Failure | None
) -> dict[str, object]:
    """The answer as OpenAI words it, or falsified by one of faults.LIES. Counted, unless it is to be dropped."""
    vectors = models.embed(asked.model, asked.texts, asked.dimensions)
    if failure != "drop":
        server.usage[asked.model].add(asked)
    if failure in faults.LIES:
        vectors = faults.falsify(vectors, failure)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": embedding}
            for index, embedding in enumerate(_encode(vectors, asked.base64))
        ],
        "model": asked.model,
        "usage": {"prompt_tokens": asked.tokens, "total_tokens": asked.tokens},
    }


def _encode(vectors: models.Vectors, as_base64: bool) -> list[str] | list[list[float]]:
    """As OpenAI: a list of numbers, or the bytes of little-endian float32 in base64."""
    if as_base64:
        return [base64.b64encode(vector).decode() for vector in vectors.astype("<f4", copy=False)]
    return vectors.tolist()  # type: ignore[no-any-return]  # numpy does not know how deep the list is
