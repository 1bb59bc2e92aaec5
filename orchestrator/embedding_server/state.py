"""What the server was told to do wrong, and what it has counted."""

import asyncio
import hashlib
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.embedding_server import limiting, listening, refusals, request
from orchestrator.embedding_server.files import Files
from orchestrator.embedding_server.jobs import JobError, Jobs


@dataclass
class Usage:
    """Of one model. Only what was answered with vectors counts, as on the provider's bill."""

    requests: int = 0
    texts: int = 0
    tokens: int = 0
    seen: Counter[bytes] = field(default_factory=Counter)
    """How often each text came, by its digest: as many texts as distinct texts proves that nothing came twice."""

    def add(self, answered: request.EmbeddingRequest) -> None:
        self.requests += 1
        self.texts += len(answered.texts)
        self.tokens += answered.tokens
        self.seen.update(digest(text) for text in answered.texts)

    def report(self) -> dict[str, int]:
        return {
            "requests": self.requests,
            "texts": self.texts,
            "distinct_texts": len(self.seen),
            "tokens": self.tokens,
        }


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


Failure = refusals.Refusal | str
"""A refusal, or the name of a broken or a false answer: see faults.py."""

# The newest are kept
MAX_ARRIVALS = 100_000


@dataclass
class State:
    """Set by the control handlers, obeyed by all others. One event loop, so no lock."""

    latency_seconds: float = 0.0
    retired: set[str] = field(default_factory=set)
    refused_content: set[str] = field(default_factory=set)
    failures: deque[Failure] = field(default_factory=deque)
    """The answers to the next requests under /v1, in one queue for embeddings, files and jobs."""
    outage: Failure | None = None
    outage_ends: float = 0.0
    """On the monotonic clock; until then every request fails as `outage` says."""
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_ARRIVALS))
    """When each embedding request came, in seconds since the epoch, whatever it was answered."""
    limits: limiting.Limits | None = None
    usage: defaultdict[str, Usage] = field(default_factory=lambda: defaultdict(Usage))

    files: Files = field(default_factory=Files)
    jobs: Jobs = field(default_factory=Jobs)
    hold_seconds: float = 0.0
    """What a job takes at least, from its creation to its completion."""
    expiries: deque[int] = field(default_factory=deque)
    """After how many requests each of the next jobs expires."""
    job_failures: deque[JobError] = field(default_factory=deque)
    """What each of the next jobs fails by."""
    broken_requests: deque[int] = field(default_factory=deque)
    """The statuses that the next lines of jobs are answered with."""

    listener: listening.Listener | None = None
    leaving: asyncio.Task[None] | None = None

    def next_failure(self, suits: Callable[[Failure], bool]) -> Failure | None:
        """What a request fails by, of what suits it; None: by nothing. The others wait for one that they suit."""
        if time.monotonic() < self.outage_ends:
            return self.outage if self.outage is not None and suits(self.outage) else None
        failure = next(filter(suits, self.failures), None)
        if failure is not None:
            self.failures.remove(failure)
        return failure

    def next_job_fault(self) -> tuple[int | None, JobError | None]:
        """After how many requests the next job expires, or what it fails by. One fault a job."""
        if self.job_failures:
            return None, self.job_failures.popleft()
        return (self.expiries.popleft() if self.expiries else None), None

    def check(self, asked: request.EmbeddingRequest) -> None:
        """Raises Refusal where this server was told to refuse a request that is sound in itself."""
        if asked.model in self.retired:
            raise refusals.deprecated_model(asked.model)
        if any(poison in text for poison in self.refused_content for text in asked.texts):
            raise refusals.refused_content()
