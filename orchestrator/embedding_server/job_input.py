"""A job's input file, read as OpenAI validates it: every line is sound, or the job fails with what is not.

A request's own text is no matter of this: what OpenAI would not embed is refused when its line is executed.
Codes and messages follow public reports of OpenAI's; none is known of for too many requests or inputs.
"""

import asyncio
import json
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from orchestrator.embedding_server import models
from orchestrator.embedding_server.jobs import ENDPOINT, JobError

MAX_REQUESTS = 50_000
MAX_INPUTS = 50_000
"""Of all requests of a job together."""
# Nobody reads more, and every look at the job carries them
MAX_ERRORS = 100


@dataclass(frozen=True)
class Line:
    custom_id: str
    body: dict[str, Any]


class Invalid(Exception):
    """One line is not to be executed."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


@dataclass
class Reader:
    retired: Container[str]
    lines: list[Line] = field(default_factory=list)
    errors: list[JobError] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _model: str | None = None
    _inputs: int = 0

    async def read(self, contents: bytes) -> None:
        """Fills `lines`, and `errors` with what is wrong. Gives up the event loop between lines."""
        for number, line in enumerate(contents.splitlines(), 1):
            await asyncio.sleep(0)
            try:
                self.lines.append(self._check(line))
            except Invalid as invalid:
                self.errors.append(JobError(invalid.code, str(invalid), invalid.param, number))
            if len(self.errors) == MAX_ERRORS:
                return
        self._check_whole()

    def _check(self, line: bytes) -> Line:
        asked = _parse(line)
        for name, kind in (("custom_id", str), ("method", str), ("url", str), ("body", dict)):
            if not isinstance(asked.get(name), kind):
                raise Invalid("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
        custom_id, body = asked["custom_id"], asked["body"]
        if custom_id in self._seen:
            message = (
                f"The custom_id '{custom_id}' for this request is a duplicate of another request. "
                "The custom_id parameter must be unique for each request in a batch."
            )
            raise Invalid("duplicate_custom_id", message, "custom_id")
        self._seen.add(custom_id)
        if asked["method"] != "POST":
            raise Invalid("invalid_method", f"Invalid method: '{asked['method']}'. Must be 'POST'.", "method")
        if asked["url"] != ENDPOINT:
            message = f"The URL provided for this request does not match the batch endpoint '{ENDPOINT}'."
            raise Invalid("invalid_url", message, "url")
        self._check_model(body.get("model"))
        inputs = body.get("input")
        self._inputs += len(inputs) if isinstance(inputs, list) else 1
        return Line(custom_id, body)

    def _check_model(self, name: object) -> None:
        if not isinstance(name, str) or name not in models.SERVED or name in self.retired:
            message = f"The provided model '{name}' is not supported by the Batch API."
            raise Invalid("model_not_found", message, "body.model")
        self._model = self._model or name
        if name != self._model:
            message = f"The provided model '{name}' does not match '{self._model}', the rest of the batch's."
            raise Invalid("mismatched_model", message, "body.model")

    def _check_whole(self) -> None:
        read = len(self.lines) + len(self.errors)
        if not read:
            self.errors.append(JobError("empty_file", "The input file is empty."))
        if read > MAX_REQUESTS:
            message = f"The batch has {read} requests: {MAX_REQUESTS} are the maximum."
            self.errors.append(JobError("too_many_requests", message))
        elif self._inputs > MAX_INPUTS:
            message = f"The batch has {self._inputs} embedding inputs: {MAX_INPUTS} are the maximum."
            self.errors.append(JobError("too_many_inputs", message))


def _parse(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Invalid("invalid_json_line", "This line is not parseable as valid JSON.")
    return parsed
