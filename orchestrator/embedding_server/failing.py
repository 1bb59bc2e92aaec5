"""A handler whose answers fail as the server was told: what embeddings, files and jobs have in common."""

import json
from collections.abc import Callable

from orchestrator.embedding_server import app, faults, refusals, state


class Failing(app.Handler):
    """The request takes its failure first and is answered last, so that what it does is done all the same."""

    failure: str | None = None
    """One of faults.BREAKS or faults.LIES."""

    def take_failure(self, suits: Callable[[state.Failure], bool]) -> None:
        """The next failure that suits this request. Raises it, if it is a Refusal."""
        failure = self.server.next_failure(suits)
        if isinstance(failure, refusals.Refusal):
            raise failure
        self.failure = failure

    async def answer(self, body: dict[str, object]) -> None:
        await self.answer_bytes(json.dumps(body).encode(), "application/json")

    async def answer_bytes(self, body: bytes, content_type: str) -> None:
        """The body, or what the failure leaves of it."""
        if self.failure in faults.BREAKS:
            await faults.break_off(self, self.failure, body, content_type)
            return
        self.set_header("Content-Type", content_type)
        self.finish(body)
