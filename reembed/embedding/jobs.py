"""Jobs: the provider's Batch API, which takes a day at the most and asks half the price.

OpenAI calls a job a batch; a batch is the documents of one request here. Each call is one attempt; `delete` and
`cancel` are best effort, all others raise errors.Transient or errors.Broken: no text is to blame for any of them.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO

import httpx2
import openai
from openai.types import Batch

from reembed import errors
from reembed.embedding import words
from reembed.embedding.provider import Provider

# What OpenAI allows in one job: texts, and bytes of the file
MOST_TEXTS = 50_000
MOST_BYTES = 200_000_000
# A provider's clock may be as much behind ours
_CLOCKS_DIFFER = timedelta(hours=1)
_KEY = "reembed"
_CHUNK_BYTES = 1 << 20

_TOO_MUCH_AT_ONCE = {"token_limit_exceeded", "rate_limit_exceeded", "batch_limit_exceeded"}
_ENDED = {"completed", "failed", "expired", "cancelled"}


class NoJobs(errors.Broken):
    """The provider at {base_url} has no Batch API: it knows nothing of {path}.

    Unset PROVIDER_MODE, and restart the workers.
    """


class JobRefused(errors.Broken):
    """The provider refuses a job: {reason}.

    Mend the cause, or unset PROVIDER_MODE and restart the workers; then `reembed resume`.
    """


class TooMuchAtOnce(errors.Transient):
    """The provider takes no further job now: {reason}."""


class _NotThere(Exception):
    """404."""


@contextlib.contextmanager
def _noting_absence() -> Iterator[None]:
    try:
        yield
    except openai.NotFoundError:
        raise _NotThere from None


@dataclass(frozen=True)
class Job:
    """As the provider sees it."""

    id: str
    status: str
    texts: int
    answered: int
    """Refused ones among them."""
    question: str
    """The file that was sent."""
    answers: list[str]
    """The files that came back so far: vectors, and refusals."""
    fault: errors.ReembedError | None
    """What it failed by, as a whole."""

    @property
    def ended(self) -> bool:
        return self.status in _ENDED


class Jobs:
    """Of one provider and model; threads may share it."""

    def __init__(self, provider: Provider) -> None:
        self._client = provider.client

    def check(self) -> None:
        """Whether there is a Batch API. Raises NoJobs."""
        with self._asking("/batches"):
            self._client.openai.batches.list(limit=1)

    def upload(self, file: BinaryIO) -> str:
        """The name of the file, as the provider calls it."""
        with self._asking("/files"):
            return self._client.openai.files.create(file=("texts.jsonl", file), purpose="batch").id

    def create(self, file: str, key: str) -> Job:
        """Make a job of an uploaded file. After an error it may exist all the same: `find` knows."""
        with self._asking("/batches"):
            return self._read(
                self._client.openai.batches.create(
                    input_file_id=file,
                    endpoint="/v1/embeddings",
                    completion_window="24h",
                    metadata={_KEY: key},
                )
            )

    def find(self, key: str, since: datetime) -> Job | None:
        """The job that was made with this key, not before `since`; None: there is none."""
        oldest = (since - _CLOCKS_DIFFER).timestamp()
        with self._asking("/batches"):
            for batch in self._client.openai.batches.list(limit=100):
                if batch.created_at < oldest:
                    break
                if (batch.metadata or {}).get(_KEY) == key:
                    return self._read(batch)
        return None

    def look(self, job: str) -> Job | None:
        """How far it is; None: the provider does not know it any more."""
        try:
            with self._asking():
                return self._read(self._client.openai.batches.retrieve(job))
        except _NotThere:
            return None

    def download(self, file: str, into: BinaryIO) -> None:
        """Append the file's content; nothing, where it is gone."""
        try:
            with (
                self._asking(),
                self._client.openai.files.with_streaming_response.content(file) as answer,
            ):
                into.writelines(answer.iter_bytes(_CHUNK_BYTES))
        except _NotThere:
            return
        except httpx2.HTTPError as error:
            reason = f"its answers broke off ({type(error).__name__})"
            raise errors.ProviderUnavailable(reason=reason) from None

    def cancel(self, job: str) -> bool:
        """Whether the provider has heard of it."""
        with contextlib.suppress(errors.ReembedError, _NotThere), self._asking():
            self._client.openai.batches.cancel(job)
            return True
        return False

    def delete(self, *files: str) -> None:
        for file in files:
            with contextlib.suppress(errors.ReembedError, _NotThere), self._asking():
                self._client.openai.files.delete(file)

    @contextlib.contextmanager
    def _asking(self, path: str | None = None) -> Iterator[None]:
        """Without a path, 404 means the thing and not the API."""
        try:
            with self._client.asking(), _noting_absence():
                yield
        except _NotThere:
            if path is None:
                raise
            raise NoJobs(base_url=self._client.base_url, path=path) from None
        except errors.RequestRefused as refusal:
            raise JobRefused(reason=refusal.fields["reason"]) from None

    def _read(self, batch: Batch) -> Job:
        counts = batch.request_counts
        return Job(
            id=batch.id,
            status=batch.status,
            texts=counts.total if counts else 0,
            answered=counts.completed + counts.failed if counts else 0,
            question=batch.input_file_id,
            answers=[file for file in (batch.output_file_id, batch.error_file_id) if file],
            fault=self._fault(batch) if batch.status == "failed" else None,
        )

    def _fault(self, batch: Batch) -> errors.ReembedError:
        first = next(iter((batch.errors and batch.errors.data) or []), None)
        code, message = (first.code or "", first.message or "") if first else ("", "")
        said = words.presentable(message, self._client.asked(()).api_key, ()) or "it does not say why"
        reason = f"{said} ({code})" if code else said
        if code in _TOO_MUCH_AT_ONCE:
            return TooMuchAtOnce(reason=reason)
        return JobRefused(reason=reason)
