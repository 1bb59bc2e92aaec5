"""The control surface, under /control/: make the provider misbehave, read what it counted.

A new fault is a field of State, a handler here (of jobs: in job_control.py) that sets it and a method of the client.
"""

import asyncio
import time

from orchestrator.embedding_server import app, limiting, models, refusals, request, state


class Retire(app.Handler):
    """From now on the model answers 404, as a deprecated one does. {"model": NAME}"""

    def post(self) -> None:
        self.server.retired.add(_model(self.request.body))
        self.write_json({})


class Restore(app.Handler):
    """The model answers again. {"model": NAME}"""

    def post(self) -> None:
        self.server.retired.discard(_model(self.request.body))
        self.write_json({})


class Latency(app.Handler):
    """Every embedding request waits this long first. {"ms": N}"""

    def post(self) -> None:
        self.server.latency_seconds = request.parse_json(self.request.body)["ms"] / 1_000
        self.write_json({})


class Refuse(app.Handler):
    """Any request with such an input is refused whole, as for a poison document. {"containing": TEXT}"""

    def post(self) -> None:
        self.server.refused_content.add(request.parse_json(self.request.body)["containing"])
        self.write_json({})


class Accept(app.Handler):
    """Such an input is embedded like any other again. {"containing": TEXT}"""

    def post(self) -> None:
        self.server.refused_content.discard(request.parse_json(self.request.body)["containing"])
        self.write_json({})


class Fail(app.Handler):
    """The next requests under /v1 fail so. {"status": 429, "times": 3, "headers": {...}, "code": ...}

    Or every one for a while: {"status": 503, "seconds": 60}. Instead of a status, `how` names a fault of faults.py.
    It is one queue for all: whichever request comes first has the first failure that suits it. A lie waits for
    vectors, of an embedding request or of a job's line; a line is spared by all else.
    """

    def post(self) -> None:
        told = request.parse_json(self.request.body)
        failure = told.get("how") or refusals.Refusal(
            told["status"],
            told.get("message", "The server was told to fail."),
            type=told.get("type", "server_error"),
            code=told.get("code"),
            headers=told.get("headers", {}),
        )
        if seconds := told.get("seconds"):
            self.server.outage = failure
            self.server.outage_ends = time.monotonic() + seconds
        else:
            self.server.failures.extend([failure] * told.get("times", 1))
        self.write_json({})


class Limit(app.Handler):
    """No more than this a minute. {"requests_per_minute": 600, "tokens_per_minute": 100000, "announce": true}

    0 is no limit, and without either nothing is counted.
    """

    def get(self) -> None:
        """How many requests were let in and refused since it was told."""
        told = self.server.limits
        self.write_json({"admitted": told.admitted, "refused": told.refused} if told else {})

    def post(self) -> None:
        told = request.parse_json(self.request.body)
        requests, tokens = told["requests_per_minute"], told["tokens_per_minute"]
        limited = requests or tokens
        self.server.limits = limiting.Limits(requests, tokens, told["announce"]) if limited else None
        self.write_json({})


class Leave(app.Handler):
    """Open connections end and new ones are refused, as if the server were not there. {"seconds": 5}"""

    async def post(self) -> None:
        assert self.server.listener is not None  # noqa: S101  it let this request in
        self.server.listener.close()
        self.write_json({})
        # Held on to, or it might be collected before it is done
        self.server.leaving = asyncio.create_task(
            self.server.listener.open_again_after(request.parse_json(self.request.body)["seconds"])
        )


class Recover(app.Handler):
    """Whatever it was told to fail by is forgotten."""

    def post(self) -> None:
        for failures in (self.server.failures, self.server.expiries, self.server.job_failures):
            failures.clear()
        self.server.broken_requests.clear()
        self.server.outage_ends = 0.0
        self.write_json({})


class Usage(app.Handler):
    """What was embedded since the start, by model."""

    def get(self) -> None:
        self.write_json({name: self.server.usage[name].report() for name in models.SERVED})


class Times(app.Handler):
    """How often this very text was embedded, by any model. {"text": TEXT}"""

    def post(self) -> None:
        wanted = state.digest(request.parse_json(self.request.body)["text"])
        self.write_json({"times": sum(usage.seen[wanted] for usage in self.server.usage.values())})


class Arrivals(app.Handler):
    """When the embedding requests came, failed ones among them: how a client spaces its attempts."""

    def get(self) -> None:
        self.write_json({"arrivals": list(self.server.arrivals)})


def _model(body: bytes) -> str:
    name = request.parse_json(body).get("model")
    if name not in models.SERVED:
        raise refusals.unknown_model(str(name))
    return str(name)
