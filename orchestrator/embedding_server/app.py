"""A handler that lets in one key and says no as OpenAI does, and GET /v1/models, on tornado."""

import asyncio
import hmac
import json
from typing import Any

from tornado import web

from orchestrator.embedding_server import models, refusals, state


class Handler(web.RequestHandler):
    """A handler that wants the key and says no as OpenAI does."""

    def initialize(self, server: state.State, api_key: str) -> None:
        self.server = server
        self.api_key = api_key
        self.client_left = asyncio.Event()

    def on_connection_close(self) -> None:
        self.client_left.set()

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


class Models(Handler):
    def get(self) -> None:
        served = [name for name in models.SERVED if name not in self.server.retired]
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "reembed"} for name in served]
        self.write_json({"object": "list", "data": data})


def _not_refused(status: int, reason: str) -> refusals.Refusal:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return refusals.Refusal(status, reason, type=kind)
