"""The life of a job, in a task of its own that gives up the event loop before every line.

A job that is held spreads over its time: it validates in the first tenth, finalizes in the last, and executes its
lines evenly in between. So whoever looks sees every status, and counts that grow.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.embedding_server import embeddings, faults, files, job_input, refusals, request, state
from orchestrator.embedding_server.jobs import Job

VALIDATED = 0.1
EXECUTED = 0.9
POLL_SECONDS = 0.01

UNEXECUTED = {
    "expired": {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    },
    "cancelled": {
        "code": "batch_cancelled",
        "message": "This request was not executed because the batch was cancelled.",
    },
}
"""What the error file says of a line that was not executed, by the end of its job."""

logger = logging.getLogger(__name__)


async def live(server: state.State, job: Job, file: files.File) -> None:
    """Take a new job to its end. It holds on to its file, which may be deleted meanwhile."""
    try:
        await Execution(server, job).run(file)
    except Exception:
        logger.exception("%s will stay %s", job.id, job.status)
        raise


@dataclass
class Execution:
    server: state.State
    job: Job
    answered: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)

    async def run(self, file: files.File) -> None:
        lines = await self._validate(file)
        if self.job.status == "failed":
            return
        left = await self._execute(lines)
        ending = "cancelled" if self.job.status == "cancelling" else "expired" if left else "completed"
        for line in left:
            self._record(line, None, UNEXECUTED[ending])
        if ending == "completed":
            self.job.enter("finalizing")
            await self._wait_for(1.0)
            ending = "cancelled" if self.job.status == "cancelling" else ending
        self.job.output_file_id = self._keep("output", self.answered)
        self.job.error_file_id = self._keep("error", self.refused)
        self.job.enter(ending)

    async def _validate(self, file: files.File) -> list[job_input.Line]:
        await self._wait_for(VALIDATED)
        reader = job_input.Reader(self.server.retired)
        await reader.read(file.contents())
        if self.job.status == "cancelling":
            return []
        if errors := [self.job.fails_by] if self.job.fails_by else reader.errors:
            self.job.errors = errors
            self.job.enter("failed")
            return []
        self.job.total = len(reader.lines)
        self.job.enter("in_progress")
        return reader.lines

    async def _execute(self, lines: list[job_input.Line]) -> list[job_input.Line]:
        """Those that were not, because the job was cancelled or expired."""
        for number, line in enumerate(lines):
            await self._wait_for(VALIDATED + (EXECUTED - VALIDATED) * number / len(lines))
            if self.job.status == "cancelling" or number == self.job.expires_after:
                return lines[number:]
            self._record(line, self._respond(line), None)
        return []

    async def _wait_for(self, share: float) -> None:
        """Until so much of the time that jobs are held has passed, or its client has cancelled it."""
        await asyncio.sleep(0)
        while self.job.status != "cancelling":
            rest = self.job.created + self.server.hold_seconds * share - time.monotonic()
            if rest <= 0:
                return
            await asyncio.sleep(min(rest, POLL_SECONDS))

    def _respond(self, line: job_input.Line) -> dict[str, object]:
        """The response to one request, by the checks and with the words of POST /v1/embeddings."""
        status, body = 200, {}
        try:
            if self.server.broken_requests:
                raise refusals.told_to_fail(self.server.broken_requests.popleft())
            asked = request.check(line.body)
            self.server.check(asked)
            lie = self.server.next_failure(faults.spoils_vectors)
            body = embeddings.embed(self.server, asked, lie)
        except refusals.Refusal as refusal:
            status, body = refusal.status, refusal.body()
        return {"status_code": status, "request_id": secrets.token_hex(16), "body": body}

    def _record(
        self, line: job_input.Line, response: dict[str, object] | None, error: dict[str, str] | None
    ) -> None:
        told = {
            "id": f"batch_req_{secrets.token_hex(16)}",
            "custom_id": line.custom_id,
            "response": response,
            "error": error,
        }
        sound = response is not None and response["status_code"] == 200
        (self.answered if sound else self.refused).append(json.dumps(told).encode())
        self.job.completed += sound
        self.job.failed += not sound

    def _keep(self, kind: str, lines: Sequence[bytes]) -> str | None:
        """The id of their file; None without a line. Reversed, because OpenAI promises no order."""
        contents = b"".join(line + b"\n" for line in reversed(lines))
        if not contents:
            return None
        name = f"{self.job.id}_{kind}.jsonl"
        return self.server.files.add(files.File(name, contents, "batch_output")).id
