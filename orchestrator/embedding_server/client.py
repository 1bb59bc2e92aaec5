"""The control surface, as Python: what a test or the demo says to a running embedding server."""

import json
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 30.0


class Control:
    """Steers one embedding server. Its embeddings themselves are asked for with the openai package."""

    def __init__(self, api_key: str, port: int = 0) -> None:
        """The port may be set later: a server that picks its own says so once it listens."""
        self.api_key = api_key
        self.port = port
        # Never through a proxy of the environment: the server is on this machine
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def base_url(self) -> str:
        """For OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def retire(self, model: str) -> None:
        """Let the model be deprecated: 404 from now on."""
        self._call("/control/retire", {"model": model})

    def restore(self, model: str) -> None:
        self._call("/control/restore", {"model": model})

    def set_latency(self, milliseconds: int) -> None:
        """Let every embedding request wait this long."""
        self._call("/control/latency", {"ms": milliseconds})

    def refuse(self, containing: str) -> None:
        """Refuse every request with an input that contains this text."""
        self._call("/control/refuse", {"containing": containing})

    def accept(self, containing: str) -> None:
        """Embed such inputs like any other again."""
        self._call("/control/accept", {"containing": containing})

    def fail(
        self,
        status: int,
        times: int = 1,
        *,
        seconds: float | None = None,
        headers: dict[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        """Let the next `times` requests fail with this status; or all of them, for so many seconds.

        Requests for embeddings, files and jobs share one queue. What a job executes meanwhile is not spoilt by it.
        """
        told: dict[str, object] = {"status": status, "times": times, "seconds": seconds, "code": code}
        self._call("/control/fail", {**told, "headers": headers or {}})

    def spoil(self, how: str, times: int = 1, *, seconds: float | None = None) -> None:
        """Let the answers break or lie, in one of the ways of faults.BREAKS and faults.LIES.

        What is broken off was done: a job whose answer is dropped lives. A lie waits for the next vectors, of an
        embedding request or of a job's line.
        """
        self._call("/control/fail", {"how": how, "times": times, "seconds": seconds})

    def hold_jobs(self, seconds: float) -> None:
        """Let a job take at least so long from its creation to its completion, those under way among them.

        It validates in the first tenth of that time, finalizes in the last, and executes its lines evenly in
        between. 0, as from the start, lets all go on at once.
        """
        self._call("/control/jobs/hold", {"seconds": seconds})

    def expire_jobs(self, after: int, times: int = 1) -> None:
        """Let the next `times` jobs to be created expire after `after` executed requests, if they have more."""
        self._call("/control/jobs/expire", {"after": after, "times": times})

    def fail_jobs(self, code: str, message: str, times: int = 1) -> None:
        """Let the next `times` jobs to be created fail with this error, whatever is in their files."""
        self._call("/control/jobs/fail", {"code": code, "message": message, "times": times})

    def break_requests(self, status: int, times: int = 1) -> None:
        """Let the next `times` lines that jobs execute be answered with this status instead of vectors."""
        self._call("/control/jobs/break", {"status": status, "times": times})

    def jobs(self) -> list[dict[str, Any]]:
        """Every job since the start, the newest first, as the API describes its batches."""
        jobs: list[dict[str, Any]] = self._call("/control/jobs")["jobs"]
        return jobs

    def files(self) -> int:
        """How many files it holds: uploads, and what jobs have written."""
        files: int = self._call("/control/files")["files"]
        return files

    def limit(
        self, requests_per_minute: int = 0, tokens_per_minute: int = 0, *, announce: bool = True
    ) -> None:
        """Answer 429 to embedding requests beyond these; 0 is no limit. Jobs have none, as with OpenAI.

        With `announce`, headers say what is allowed and what is left.
        """
        told = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
        self._call("/control/limit", {**told, "announce": announce})

    def limited(self) -> dict[str, int]:
        """How many requests were `admitted` and `refused` since `limit` was called."""
        counted: dict[str, int] = self._call("/control/limit")
        return counted

    def leave(self, seconds: float) -> None:
        """End every connection and let nobody in for so long. What was in flight is counted all the same."""
        self._call("/control/leave", {"seconds": seconds})

    def recover(self) -> None:
        """Forget every failure that is still to come. Jobs that were created to fail or to expire do so."""
        self._call("/control/recover", {})

    def usage(self) -> dict[str, dict[str, int]]:
        """By model: requests, texts, distinct_texts and tokens that were answered with vectors."""
        usage: dict[str, dict[str, int]] = self._call("/control/usage")
        return usage

    def times_embedded(self, text: str) -> int:
        """How often this very text was answered with a vector, by any model."""
        times: int = self._call("/control/times", {"text": text})["times"]
        return times

    def arrivals(self) -> list[float]:
        """When each embedding request came, in seconds since the epoch, whatever it was answered."""
        arrivals: list[float] = self._call("/control/arrivals")["arrivals"]
        return arrivals

    def _call(self, path: str, body: dict[str, object] | None = None) -> Any:
        """POST the body, or GET where there is none. Raises urllib.error.HTTPError for any status but 200."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.load(answer)
