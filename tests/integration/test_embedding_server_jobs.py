"""The built-in embedding server answers the provider's Batch API, asked by the openai package."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from openai.types import Batch

from orchestrator.embedded import provider
from orchestrator.embedding_server import models
from tests import waiting

MODEL = "lexical-words"
WIDTH = 8
ENDED = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[provider.EmbeddingServer]:
    with provider.running(tmp_path) as own:
        yield own


@pytest.fixture
def client(server: provider.EmbeddingServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0, timeout=60) as asking:
        yield asking


def line(custom_id: str, texts: str | Sequence[str], model: str = MODEL, **changed: Any) -> dict[str, Any]:
    body = {"model": model, "input": texts, "dimensions": WIDTH, "encoding_format": "base64"}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body} | changed


def lines(number: int) -> list[dict[str, Any]]:
    return [line(f"request-{i}", [f"text {i}"]) for i in range(number)]


def upload(client: openai.OpenAI, contents: bytes, name: str = "input.jsonl") -> str:
    return client.files.create(file=(name, contents), purpose="batch").id


def upload_lines(client: openai.OpenAI, asked: Sequence[dict[str, Any]]) -> str:
    return upload(client, b"".join(json.dumps(each).encode() + b"\n" for each in asked))


def create(client: openai.OpenAI, input_file_id: str, **options: Any) -> Batch:
    return client.batches.create(
        input_file_id=input_file_id, endpoint="/v1/embeddings", completion_window="24h", **options
    )


def submit(client: openai.OpenAI, asked: Sequence[dict[str, Any]]) -> Batch:
    return create(client, upload_lines(client, asked))


def wait_for(client: openai.OpenAI, job: Batch, *statuses: str) -> Batch:
    def look() -> Batch | None:
        seen = client.batches.retrieve(job.id)
        return seen if seen.status in (statuses or ENDED) else None

    return waiting.until(look, 60)


def read(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(each) for each in client.files.content(file_id).content.splitlines()]


def counts(job: Batch) -> tuple[int, int, int]:
    assert job.request_counts is not None
    return job.request_counts.total, job.request_counts.completed, job.request_counts.failed


def refusal(ask: Callable[[], object]) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as refused:
        ask()
    return refused.value


def embed(client: openai.OpenAI) -> object:
    return client.embeddings.create(model=MODEL, input="now", dimensions=WIDTH)


def error_of(job: Batch) -> tuple[str | None, int | None]:
    """Code and line of the only error."""
    assert job.errors is not None
    assert job.errors.data is not None
    [error] = job.errors.data
    return error.code, error.line


# -- files --


def test_a_file_comes_back_byte_for_byte_until_it_is_deleted(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    contents = "日本語\n".encode() + bytes(range(256))
    before = int(time.time())
    file = client.files.create(file=("mine.jsonl", contents), purpose="batch")
    assert (file.object, file.purpose, file.status) == ("file", "batch", "processed")
    assert (file.filename, file.bytes) == ("mine.jsonl", len(contents))
    assert before <= file.created_at <= time.time()
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).content == contents
    assert server.files() == 1
    deleted = client.files.delete(file.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (file.id, "file", True)
    assert server.files() == 0
    assert refusal(lambda: client.files.content(file.id)).status_code == 404


def test_files_are_listed_the_newest_first_page_by_page_and_by_purpose(client: openai.OpenAI) -> None:
    uploaded = [upload(client, b"{}") for _ in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == uploaded[::-1]
    first = client.files.list(limit=2)
    assert [file.id for file in first.data] == uploaded[:2:-1]
    assert first.has_more
    assert client.files.list(purpose="batch_output").data == []


@pytest.mark.parametrize("ask", ["retrieve", "content", "delete"])
def test_a_file_that_is_not_there_is_answered_with_404(client: openai.OpenAI, ask: str) -> None:
    refused = refusal(lambda: getattr(client.files, ask)("file-none"))
    assert refused.status_code == 404
    assert "No such File object: file-none" in refused.message


@pytest.mark.parametrize(
    ("name", "purpose", "words"),
    [
        ("input.jsonl", "fine-tune", "'fine-tune' is not one of ['batch'] - 'purpose'"),
        ("input.txt", "batch", "Invalid file format for Batch API. Must be .jsonl"),
    ],
)
def test_an_upload_that_is_not_for_a_job_is_refused(
    server: provider.EmbeddingServer, client: openai.OpenAI, name: str, purpose: Any, words: str
) -> None:
    refused = refusal(lambda: client.files.create(file=(name, b"{}"), purpose=purpose))
    assert refused.status_code == 400
    assert words in refused.message
    assert server.files() == 0


def test_an_upload_without_a_form_is_refused(client: openai.OpenAI) -> None:
    refused = refusal(lambda: client.post("/files", body={"purpose": "batch"}, cast_to=object))
    assert (refused.status_code, refused.param) == (400, "purpose")


def test_a_file_may_have_200_mb_and_not_a_byte_more(client: openai.OpenAI) -> None:
    contents = b"x" * 200_000_000
    file_id = upload(client, contents)
    assert client.files.content(file_id).content == contents
    assert refusal(lambda: upload(client, contents + b"x")).status_code == 413


# -- the life of a job --


def test_a_job_answers_every_request_with_the_models_vectors_in_another_order_and_counts_each_once(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    asked = [line("a", ["one", "two"]), line("b", "three"), line("c", ["日本語"] * 3)]
    job = wait_for(client, submit(client, asked))
    assert (job.status, job.error_file_id, counts(job)) == ("completed", None, (3, 3, 0))
    answered = read(client, job.output_file_id)
    assert [each["custom_id"] for each in answered] == ["c", "b", "a"]
    assert len({each["id"] for each in answered}) == 3
    for each, request in zip(answered, reversed(asked), strict=True):
        assert each["id"].startswith("batch_req_")
        assert (each["error"], each["response"]["status_code"]) == (None, 200)
        body = each["response"]["body"]
        texts = request["body"]["input"]
        texts = [texts] if isinstance(texts, str) else texts
        vectors = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in body["data"]]
        np.testing.assert_array_equal(vectors, models.embed(MODEL, texts, WIDTH))
        assert body["model"] == MODEL
        assert body["usage"]["total_tokens"] == sum(map(models.count_tokens, texts))
    usage = server.usage()[MODEL]
    assert (usage["requests"], usage["texts"], usage["distinct_texts"]) == (3, 6, 4)
    assert server.files() == 2


def test_a_new_job_is_described_as_openais_and_so_is_what_became_of_it(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    file_id = upload_lines(client, lines(1))
    before = int(time.time())
    created = create(client, file_id, metadata={"migration": "7"})
    assert created.id.startswith("batch_")
    assert (created.object, created.status, created.endpoint) == ("batch", "validating", "/v1/embeddings")
    assert (created.input_file_id, created.completion_window) == (file_id, "24h")
    assert created.metadata == {"migration": "7"}
    assert (created.errors, created.output_file_id, created.error_file_id) == (None, None, None)
    assert before <= created.created_at <= time.time()
    assert created.expires_at == created.created_at + 86_400
    assert counts(created) == (0, 0, 0)
    job = wait_for(client, created)
    assert job.completed_at is not None
    assert job.finalizing_at is not None
    assert job.in_progress_at is not None
    assert job.created_at <= job.in_progress_at <= job.finalizing_at <= job.completed_at
    assert (job.failed_at, job.expired_at, job.cancelling_at, job.cancelled_at) == (None, None, None, None)
    assert job.metadata == {"migration": "7"}
    output = client.files.retrieve(job.output_file_id or "")
    assert (output.purpose, output.filename) == ("batch_output", f"{job.id}_output.jsonl")
    assert [Batch.model_validate(each) for each in server.jobs()] == [job]


def test_a_held_job_takes_its_time_and_shows_every_status_and_its_progress_on_the_way(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.hold_jobs(6)
    started = time.monotonic()
    job = submit(client, lines(4))
    seen: list[tuple[str, int]] = []
    while job.status not in ENDED:
        job = client.batches.retrieve(job.id)
        if (now := (job.status, counts(job)[1])) not in seen:
            seen.append(now)
    assert time.monotonic() - started >= 6
    statuses = list(dict.fromkeys(status for status, _ in seen))
    assert statuses == ["validating", "in_progress", "finalizing", "completed"]
    assert {("in_progress", done) for done in (1, 2, 3)} <= set(seen)


def test_a_job_that_is_held_no_longer_goes_on_at_once(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.hold_jobs(3_600)
    job = submit(client, lines(2))
    server.hold_jobs(0)
    assert wait_for(client, job).status == "completed"


def test_a_job_at_work_leaves_the_server_time_for_others(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    job = submit(client, lines(30_000))
    wait_for(client, job, "in_progress")
    embed(client)
    assert client.batches.retrieve(job.id).status == "in_progress"
    assert counts(wait_for(client, job)) == (30_000, 30_000, 0)


def test_a_job_needs_its_file_no_more_once_it_is_created(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.hold_jobs(1)
    job = submit(client, lines(2))
    client.files.delete(job.input_file_id)
    assert counts(wait_for(client, job, "completed")) == (2, 2, 0)


def test_a_job_lives_on_while_the_server_lets_nobody_in(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.hold_jobs(1)
    job = submit(client, lines(2))
    server.leave(2)
    with pytest.raises(openai.APIConnectionError):
        client.batches.retrieve(job.id)

    def back() -> Batch | None:
        try:
            return client.batches.retrieve(job.id)
        except openai.APIConnectionError:
            return None

    assert waiting.until(back, 60).status == "completed"


# -- what is refused --


@pytest.mark.parametrize(
    ("contents", "code", "number"),
    [
        ([line("a", "x"), "{no json"], "invalid_json_line", 2),
        ([line("a", "x"), line("b", "x"), line("a", "y")], "duplicate_custom_id", 3),
        ([line("a", "x", model="text-embedding-none")], "model_not_found", 1),
        ([line("a", "x"), line("b", "x", model="lexical-ngrams")], "mismatched_model", 2),
        ([line("a", "x", url="/v1/completions")], "invalid_url", 1),
        ([line("a", "x", method="GET")], "invalid_method", 1),
        ([{"custom_id": "a", "method": "POST", "url": "/v1/embeddings"}], "missing_required_parameter", 1),
        ([], "empty_file", None),
        ([line(str(number), "x") for number in range(50_001)], "too_many_requests", None),
        (
            [line(str(number), ["x"] * 2_000) for number in range(25)] + [line("z", "x")],
            "too_many_inputs",
            None,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_unsound_line_fails_the_whole_job_and_nothing_is_executed(
    server: provider.EmbeddingServer,
    client: openai.OpenAI,
    contents: list[Any],
    code: str,
    number: int | None,
) -> None:
    text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in contents)
    job = wait_for(client, create(client, upload(client, text.encode())))
    assert (job.status, error_of(job)) == ("failed", (code, number))
    assert job.failed_at is not None
    assert (job.output_file_id, job.error_file_id, counts(job)) == (None, None, (0, 0, 0))
    assert server.usage()[MODEL]["texts"] == 0


def test_every_unsound_line_is_named(client: openai.OpenAI) -> None:
    contents = b"{no json\n" + json.dumps(line("a", "x")).encode() + b"\n[]\n"
    job = wait_for(client, create(client, upload(client, contents)))
    assert job.errors is not None
    assert job.errors.data is not None
    assert [error.line for error in job.errors.data] == [1, 3]


def test_no_more_than_100_unsound_lines_are_named(client: openai.OpenAI) -> None:
    job = wait_for(client, create(client, upload(client, b"{no json\n" * 101)))
    assert job.errors is not None
    assert job.errors.data is not None
    assert [error.line for error in job.errors.data] == list(range(1, 101))


def test_50_000_inputs_are_not_too_many(server: provider.EmbeddingServer, client: openai.OpenAI) -> None:
    job = submit(client, [line(str(number), ["x"] * 2_000) for number in range(25)])
    assert wait_for(client, job, "in_progress", *ENDED).status == "in_progress"


def test_a_retired_model_fails_a_new_job_and_the_lines_that_a_job_under_way_has_left(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.hold_jobs(10)
    under_way = submit(client, lines(10))
    waiting.until(lambda: counts(client.batches.retrieve(under_way.id))[1])
    server.retire(MODEL)
    server.hold_jobs(0)
    assert error_of(wait_for(client, submit(client, lines(1)))) == ("model_not_found", 1)
    ended = wait_for(client, under_way)
    total, done, left = counts(ended)
    assert (ended.status, total, done + left) == ("completed", 10, 10)
    assert len(read(client, ended.output_file_id)) == done >= 1
    all_refused = read(client, ended.error_file_id)
    assert len(all_refused) == left >= 1
    for refused in all_refused:
        assert refused["response"]["status_code"] == 404
        assert refused["response"]["body"]["error"]["code"] == "model_not_found"


def test_a_request_that_is_refused_goes_to_the_error_file_with_the_words_it_would_have_had_alone(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.refuse("poison")
    asked = [line("empty", ""), line("fine", "x"), line("poisonous", ["fine", "poison"])]
    job = wait_for(client, submit(client, asked))
    assert (job.status, counts(job)) == ("completed", (3, 1, 2))
    assert [each["custom_id"] for each in read(client, job.output_file_id)] == ["fine"]
    poisonous, empty = read(client, job.error_file_id)
    assert (poisonous["custom_id"], empty["custom_id"]) == ("poisonous", "empty")
    for each, texts in ((poisonous, ["fine", "poison"]), (empty, "")):
        alone = refusal(lambda texts=texts: client.embeddings.create(model=MODEL, input=texts))  # type: ignore[misc]
        assert (each["error"], each["response"]["status_code"]) == (None, 400)
        assert each["response"]["body"] == {"error": alone.body}
    assert server.usage()[MODEL]["texts"] == 1


def test_a_job_without_an_answer_has_no_output_file(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    job = wait_for(client, submit(client, [line("a", "")]))
    assert (job.status, job.output_file_id) == ("completed", None)
    assert len(read(client, job.error_file_id)) == 1


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"endpoint": "/v1/completions"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"metadata": {"key": "x" * 513}}, "metadata.key"),
    ],
)
def test_a_job_that_openai_would_not_create_is_refused_with_400(
    server: provider.EmbeddingServer, client: openai.OpenAI, changed: dict[str, Any], param: str
) -> None:
    asked = {"input_file_id": upload_lines(client, lines(1)), "endpoint": "/v1/embeddings"}
    refused = refusal(lambda: client.batches.create(**{**asked, "completion_window": "24h", **changed}))
    assert (refused.status_code, refused.param) == (400, param)
    assert server.jobs() == []


def test_what_a_job_has_written_is_no_input_for_another(client: openai.OpenAI) -> None:
    job = wait_for(client, submit(client, lines(1)))
    assert refusal(lambda: create(client, job.output_file_id or "")).status_code == 400


@pytest.mark.parametrize("ask", ["retrieve", "cancel"])
def test_a_job_that_is_not_there_is_answered_with_404(client: openai.OpenAI, ask: str) -> None:
    refused = refusal(lambda: getattr(client.batches, ask)("batch_none"))
    assert refused.status_code == 404
    assert "No batch found with id 'batch_none'." in refused.message


def test_jobs_are_listed_the_newest_first_page_by_page(client: openai.OpenAI) -> None:
    file_id = upload_lines(client, lines(1))
    created = [create(client, file_id).id for _ in range(5)]
    first = client.batches.list(limit=2)
    assert ([job.id for job in first.data], first.has_more) == ([created[4], created[3]], True)
    rest = client.batches.list(limit=3, after=created[3])
    assert ([job.id for job in rest.data], rest.has_more) == ([created[2], created[1], created[0]], False)
    assert [job.id for job in client.batches.list(limit=2)] == created[::-1]
    assert refusal(lambda: client.batches.list(limit=101)).param == "limit"
    assert refusal(lambda: client.batches.list(after="batch_none")).param == "after"


def test_files_and_jobs_want_the_key(server: provider.EmbeddingServer) -> None:
    with openai.OpenAI(base_url=server.base_url, api_key="wrong", max_retries=0) as stranger:
        asks: list[Callable[[], object]] = [
            lambda: upload(stranger, b"{}"),
            lambda: stranger.files.content("file-none"),
            stranger.batches.list,
            lambda: create(stranger, "file-none"),
        ]
        assert [refusal(ask).status_code for ask in asks] == [401] * len(asks)
    assert server.files() == 0


# -- ends before the end --


def test_a_job_expires_after_so_many_requests_and_keeps_what_it_has(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.expire_jobs(after=2, times=2)
    for _ in range(2):
        job = wait_for(client, submit(client, lines(5)))
        assert (job.status, counts(job)) == ("expired", (5, 2, 3))
        assert job.expired_at is not None
        assert {each["custom_id"] for each in read(client, job.output_file_id)} == {"request-0", "request-1"}
        left = read(client, job.error_file_id)
        assert {each["custom_id"] for each in left} == {"request-2", "request-3", "request-4"}
        for each in left:
            assert each["response"] is None
            assert each["error"] == {
                "code": "batch_expired",
                "message": "This request could not be executed before the completion window expired.",
            }
    assert server.usage()[MODEL]["texts"] == 4
    assert wait_for(client, submit(client, lines(5))).status == "completed"


def test_a_job_that_expires_at_once_has_no_output_file(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.expire_jobs(after=0)
    job = wait_for(client, submit(client, lines(2)))
    assert (job.status, job.output_file_id, counts(job)) == ("expired", None, (2, 0, 2))


def test_a_cancelled_job_keeps_what_it_has_and_executes_nothing_more(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.hold_jobs(20)
    job = submit(client, lines(10))
    waiting.until(lambda: counts(client.batches.retrieve(job.id))[1])
    cancelling = client.batches.cancel(job.id)
    assert cancelling.status == "cancelling"
    assert cancelling.cancelling_at is not None
    ended = wait_for(client, job)
    total, done, left = counts(ended)
    assert (ended.status, total, done + left) == ("cancelled", 10, 10)
    assert ended.cancelled_at is not None
    assert len(read(client, ended.output_file_id)) == done >= 1
    unexecuted = read(client, ended.error_file_id)
    assert len(unexecuted) == left >= 1
    assert {(each["response"], each["error"]["code"]) for each in unexecuted} == {(None, "batch_cancelled")}
    assert server.usage()[MODEL]["texts"] == done


def test_a_job_that_is_cancelled_before_it_was_read_has_no_files(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.hold_jobs(3_600)
    job = submit(client, lines(2))
    client.batches.cancel(job.id)
    ended = wait_for(client, job)
    assert (ended.status, ended.output_file_id, ended.error_file_id) == ("cancelled", None, None)


def test_a_job_that_has_ended_cannot_be_cancelled(client: openai.OpenAI) -> None:
    job = wait_for(client, submit(client, lines(1)))
    refused = refusal(lambda: client.batches.cancel(job.id))
    assert refused.status_code == 409
    assert "Cannot cancel a batch with status 'completed'." in refused.message
    assert client.batches.retrieve(job.id) == job


# -- what the server is told to do wrong --


def test_the_next_jobs_fail_as_told_and_then_one_completes(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.fail_jobs("token_limit_exceeded", "Enqueued token limit reached.", times=2)
    for _ in range(2):
        job = wait_for(client, submit(client, lines(1)))
        assert (job.status, error_of(job)) == ("failed", ("token_limit_exceeded", None))
        assert job.errors is not None
        assert job.errors.data is not None
        assert job.errors.data[0].message == "Enqueued token limit reached."
    assert server.usage()[MODEL]["texts"] == 0
    assert wait_for(client, submit(client, lines(1))).status == "completed"


def test_requests_that_break_are_in_the_error_file_and_not_on_the_bill(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.break_requests(500, times=2)
    server.break_requests(429)
    job = wait_for(client, submit(client, lines(5)))
    assert (job.status, counts(job)) == ("completed", (5, 2, 3))
    broken = {each["custom_id"]: each for each in read(client, job.error_file_id)}
    statuses = {custom_id: each["response"]["status_code"] for custom_id, each in broken.items()}
    assert statuses == {"request-0": 500, "request-1": 500, "request-2": 429}
    assert all(each["error"] is None for each in broken.values())
    assert all(each["response"]["body"]["error"]["message"] for each in broken.values())
    assert server.usage()[MODEL]["requests"] == 2


def test_recovery_forgets_what_was_to_befall_coming_jobs(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.fail_jobs("token_limit_exceeded", "Enqueued token limit reached.")
    server.expire_jobs(after=0)
    server.break_requests(500)
    server.recover()
    assert counts(wait_for(client, submit(client, lines(1)))) == (1, 1, 0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, job: upload(client, b"{}"),
        lambda client, job: client.files.list(),
        lambda client, job: client.files.retrieve(job.input_file_id),
        lambda client, job: client.files.content(job.input_file_id),
        lambda client, job: client.files.delete(job.input_file_id),
        lambda client, job: create(client, job.input_file_id),
        lambda client, job: client.batches.list(),
        lambda client, job: client.batches.retrieve(job.id),
        lambda client, job: client.batches.cancel(job.id),
    ],
    ids=["upload", "list files", "file", "content", "delete", "create", "list jobs", "job", "cancel"],
)
def test_every_endpoint_of_files_and_jobs_refuses_and_breaks_as_told(
    server: provider.EmbeddingServer, client: openai.OpenAI, ask: Callable[[openai.OpenAI, Batch], object]
) -> None:
    server.hold_jobs(3_600)
    job = submit(client, lines(1))
    held = server.files(), len(server.jobs())
    server.fail(503, headers={"retry-after": "7"}, code="overloaded")
    refused = refusal(lambda: ask(client, job))
    assert (refused.status_code, refused.code) == (503, "overloaded")
    assert refused.response.headers["retry-after"] == "7"
    assert (server.files(), len(server.jobs())) == held
    server.spoil("half")
    with pytest.raises(openai.APIConnectionError):
        ask(client, job)


def test_the_lost_answer_to_a_new_job_or_file_leaves_it_with_the_server(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.spoil("drop")
    with pytest.raises(openai.APIConnectionError):
        upload_lines(client, lines(3))
    [file] = client.files.list().data
    server.spoil("drop")
    with pytest.raises(openai.APIConnectionError):
        create(client, file.id, metadata={"mine": "1"})
    [lost] = client.batches.list().data
    assert lost.metadata == {"mine": "1"}
    assert counts(wait_for(client, lost)) == (3, 3, 0)


def test_an_answer_that_never_comes_was_done_all_the_same(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    file_id = upload_lines(client, lines(1))
    server.spoil("hang")
    with pytest.raises(openai.APITimeoutError):
        create(client.with_options(timeout=0.5), file_id)
    assert len(server.jobs()) == 1


def test_one_queue_of_failures_serves_embeddings_files_and_jobs(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.fail(503, times=3)
    asks: list[Callable[[], object]] = [
        client.files.list,
        lambda: embed(client),
        client.batches.list,
    ]
    assert [refusal(ask).status_code for ask in asks] == [503] * 3
    embed(client)
    client.files.list()


def test_an_outage_refuses_those_who_ask_and_stops_no_job(
    server: provider.EmbeddingServer, client: openai.OpenAI
) -> None:
    server.hold_jobs(3_600)
    job = submit(client, lines(3))
    server.fail(503, seconds=60)
    server.hold_jobs(0)
    waiting.until(lambda: server.jobs()[0]["status"] == "completed")
    assert refusal(lambda: client.batches.retrieve(job.id)).status_code == 503
    assert refusal(lambda: embed(client)).status_code == 503
    server.recover()
    assert counts(client.batches.retrieve(job.id)) == (3, 3, 0)


@pytest.mark.parametrize(("how", "shape"), [("narrow", (2, WIDTH - 1)), ("fewer", (1, WIDTH))])
def test_a_lie_waits_for_the_vectors_of_a_jobs_line_and_a_refusal_for_a_request(
    server: provider.EmbeddingServer, client: openai.OpenAI, how: str, shape: tuple[int, int]
) -> None:
    server.hold_jobs(3_600)
    job = submit(client, [line("a", ["one", "two"]), line("b", ["three", "four"])])
    server.spoil(how)
    client.files.list()
    server.fail(503)
    server.hold_jobs(0)
    waiting.until(lambda: server.jobs()[0]["status"] == "completed")
    assert refusal(client.files.list).status_code == 503
    answered = read(client, wait_for(client, job).output_file_id)
    shapes = {
        each["custom_id"]: np.array(
            [
                np.frombuffer(base64.b64decode(item["embedding"]), "<f4")
                for item in each["response"]["body"]["data"]
            ]
        ).shape
        for each in answered
    }
    assert shapes == {"a": shape, "b": (2, WIDTH)}
    assert server.usage()[MODEL]["texts"] == 4
