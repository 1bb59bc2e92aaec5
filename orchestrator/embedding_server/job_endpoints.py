"""/v1/batches, as OpenAI answers it for embeddings, or as the server was told to fail."""

import asyncio
from typing import Any

from orchestrator.embedding_server import (
    failing,
    faults,
    file_endpoints,
    files,
    job_execution,
    jobs,
    pages,
    refusals,
    request,
)

MAX_METADATA = 16
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 512


class Jobs(failing.Failing):
    async def get(self) -> None:
        self.take_failure(faults.spares_vectors)
        reports = [job.report() for job in self.server.jobs]
        await self.answer(pages.page(self, reports, default=20, largest=100))

    async def post(self) -> None:
        """Create a job. Its answer may be lost on the way, and the job lives all the same."""
        self.take_failure(faults.spares_vectors)
        asked = request.parse_json(self.request.body)
        for name, only in (("endpoint", jobs.ENDPOINT), ("completion_window", jobs.WINDOW)):
            if name not in asked:
                raise refusals.missing_parameter(name)
            if asked[name] != only:
                raise refusals.unsupported_value(name, asked[name], only)
        file, metadata = self._input(asked), _metadata(asked.get("metadata"))
        job = jobs.Job(file.id, metadata, *self.server.next_job_fault())
        self.server.jobs.add(job)
        report = job.report()
        job.execution = asyncio.create_task(job_execution.live(self.server, job, file))
        await self.answer(report)

    def _input(self, asked: dict[str, Any]) -> files.File:
        if "input_file_id" not in asked:
            raise refusals.missing_parameter("input_file_id")
        file = self.server.files.find(str(asked["input_file_id"]))
        if file is None or file.purpose != file_endpoints.PURPOSE:
            raise refusals.unusable_file(str(asked["input_file_id"]))
        return file


class Job(failing.Failing):
    async def get(self, job_id: str) -> None:
        self.take_failure(faults.spares_vectors)
        await self.answer(self.server.jobs.get(job_id).report())


class Cancel(failing.Failing):
    async def post(self, job_id: str) -> None:
        self.take_failure(faults.spares_vectors)
        job = self.server.jobs.get(job_id)
        job.cancel()
        await self.answer(job.report())


def _metadata(given: object) -> dict[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or len(given) > MAX_METADATA:
        raise refusals.invalid_parameter("metadata", given, f"Expected up to {MAX_METADATA} pairs.")
    for key, value in given.items():
        if len(key) > MAX_METADATA_KEY or not isinstance(value, str) or len(value) > MAX_METADATA_VALUE:
            expected = f"Expected a string of up to {MAX_METADATA_VALUE} characters."
            raise refusals.invalid_parameter(f"metadata.{key}", value, expected)
    return given
