"""A job: what OpenAI calls a batch, a file of requests that are answered when it suits the provider.

Here is what it is and how it may go on; job_execution.py lets it live.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from orchestrator.embedding_server import refusals

ENDPOINT = "/v1/embeddings"
WINDOW = "24h"
WINDOW_SECONDS = 24 * 60 * 60

NEXT = {
    # Its file is read whole before anything is executed, and refused whole for one bad line
    "validating": {"in_progress", "failed", "cancelling"},
    # Whether by its end, its window's or its client's will: what was executed is kept
    "in_progress": {"finalizing", "expired", "cancelling"},
    "finalizing": {"completed", "cancelling"},
    "cancelling": {"cancelled"},
}
"""What a job's status may become. A status that is not among these is an end."""


@dataclass(frozen=True)
class JobError:
    """What was wrong with the input."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None
    """The first is 1."""


@dataclass(eq=False)
class Job:
    input_file_id: str
    metadata: dict[str, str] | None
    expires_after: int | None = None
    """So many requests are executed before its window closes; None: all of them."""
    fails_by: JobError | None = None

    id: str = field(default_factory=lambda: f"batch_{secrets.token_hex(16)}")
    created: float = field(default_factory=time.monotonic)
    created_at: int = field(default_factory=lambda: int(time.time()))
    status: str = "validating"
    entered_at: dict[str, int] = field(default_factory=dict)
    """When it entered each status after its first, in seconds since the epoch."""
    errors: list[JobError] = field(default_factory=list)
    total: int = 0
    completed: int = 0
    failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    execution: asyncio.Task[None] | None = None

    def enter(self, status: str) -> None:
        if status not in NEXT[self.status]:
            raise ValueError(f"{self.id} is {self.status}, so it cannot become {status}")
        self.status = status
        self.entered_at[status] = int(time.time())

    def cancel(self) -> None:
        """Ask it to end soon. Raises Refusal for a job that has ended."""
        if self.status not in NEXT:
            raise refusals.job_has_ended(self.status)
        if self.status != "cancelling":
            self.enter("cancelling")

    def report(self) -> dict[str, object]:
        """As OpenAI describes a batch."""
        errors = {"object": "list", "data": [asdict(error) for error in self.errors]}
        statuses = set().union(*NEXT.values())
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": ENDPOINT,
            "errors": errors if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": WINDOW,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at,
            "expires_at": self.created_at + WINDOW_SECONDS,
            **{f"{status}_at": self.entered_at.get(status) for status in sorted(statuses)},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata,
        }


@dataclass
class Jobs:
    """Every job since the start: OpenAI forgets none either."""

    _known: dict[str, Job] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Job]:
        """The newest first."""
        return reversed(self._known.values())

    def add(self, job: Job) -> None:
        self._known[job.id] = job

    def get(self, job_id: str) -> Job:
        """Raises Refusal for an unknown id."""
        if job := self._known.get(job_id):
            return job
        raise refusals.unknown_job(job_id)
