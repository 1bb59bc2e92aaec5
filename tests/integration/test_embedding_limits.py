"""The built-in embedding server enforces a minute's requests and tokens, and what a worker makes of that."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import openai
import pytest
import redis
from pydantic import SecretStr

from config.settings import Settings
from orchestrator.embedded import provider
from orchestrator.embedded.stack import Stack
from orchestrator.embedding_server import limiting, refusals, request
from reembed import settings
from reembed.embedding import tokens
from reembed.embedding.bisection import embed_apart
from reembed.embedding.patience import Patience
from reembed.embedding.provider import Provider
from workers import asking
from workers.quota import Quota
from workers.ruler import Ruler

MODEL = settings.Model("lexical-words", 32)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[provider.EmbeddingServer]:
    """Of our own: others must not wait for its limits."""
    own = provider.EmbeddingServer(tmp_path)
    try:
        own.launch()
        own.wait_until_ready()
        yield own
    finally:
        own.stop()


def embed(server: provider.EmbeddingServer, text: str) -> Mapping[str, str]:
    """The headers of the answer."""
    with openai.OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0) as client:
        return client.embeddings.with_raw_response.create(model=MODEL.name, input=text).headers


def asked(tokens_in_it: int) -> request.EmbeddingRequest:
    return request.EmbeddingRequest(MODEL.name, ["x"], 32, True, tokens_in_it)


def test_beyond_its_limit_it_answers_429_with_the_time_to_wait_and_announces_what_is_left(
    server: provider.EmbeddingServer,
) -> None:
    server.limit(2, 1_000, announce=True)
    left = [embed(server, "one two") for _ in range(2)]
    assert [headers["x-ratelimit-remaining-requests"] for headers in left] == ["1", "0"]
    assert [headers["x-ratelimit-remaining-tokens"] for headers in left] == ["998", "996"]
    assert left[0]["x-ratelimit-limit-requests"] == "2"
    with pytest.raises(openai.RateLimitError) as refused:
        embed(server, "three")
    assert 55 <= int(refused.value.response.headers["retry-after"]) <= 60
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert server.limited() == {"admitted": 2, "refused": 1}
    # And says nothing where it is told not to
    server.limit(2, announce=False)
    assert not [name for name in embed(server, "four") if "ratelimit" in name]
    server.limit()
    for _ in range(4):
        embed(server, "five")


def test_every_window_of_a_minute_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limits = limiting.Limits(0, 100, announce=True)
    limits.admit(asked(60))
    now += 50
    limits.admit(asked(40))
    now += 9
    with pytest.raises(refusals.Refusal) as refused:
        limits.admit(asked(30))
    assert refused.value.headers["Retry-After"] == "1"
    now += 1
    limits.admit(asked(60))
    with pytest.raises(refusals.Refusal) as refused:
        limits.admit(asked(41))
    assert refused.value.headers["Retry-After"] == "60"


@pytest.fixture
def work(stack: Stack, server: provider.EmbeddingServer) -> Iterator[Callable[..., int]]:
    """Eight threads, each with a request of one text after the other, for some seconds; how many were answered."""
    with redis.Redis.from_url(stack.redis.url(1)) as client:
        client.flushdb()
    environment = {name.lower(): value for name, value in stack.environment("any").items()}
    endpoint = settings.Endpoint(server.base_url, SecretStr(server.api_key))
    opened: list[Quota] = []

    def run(seconds: float, **limits: int) -> int:
        quota = Quota.of(Settings.model_validate({**environment, **limits}))
        opened.append(quota)
        ruler, stop, answers = Ruler(tokens.estimate), threading.Event(), []

        def loop() -> None:
            patience = Patience(60, stop, lambda reason, wait: None)
            while not stop.is_set():
                try:
                    patience.call(
                        lambda: asking.ask(
                            model,
                            quota,
                            ruler,
                            ["one two"],
                            2,
                            stop=stop,
                            on_wait=lambda reason, wait: None,
                            count=lambda outcome, wait: None,
                        )
                    )
                except Exception:
                    return
                answers.append(1)

        with Provider(endpoint, MODEL) as model:
            threads = [threading.Thread(target=loop) for _ in range(8)]
            for thread in threads:
                thread.start()
            time.sleep(seconds)
            stop.set()
            for thread in threads:
                thread.join()
        return len(answers)

    yield run
    for quota in opened:
        quota.close()


@pytest.mark.parametrize("is_set", [0, 6_000], ids=["nothing is set", "more is set than is allowed"])
def test_a_provider_that_announces_its_limit_is_met_at_its_rate_without_a_refusal(
    server: provider.EmbeddingServer, work: Callable[..., int], is_set: int
) -> None:
    server.limit(300, announce=True)
    answered = work(8, embed_requests_per_minute=is_set)
    counted = server.limited()
    assert counted["refused"] == 0
    # Five a second; those that were sent before the limit was known are waited for
    assert 34 <= answered <= 8 * 5 + 8
    assert counted["admitted"] == answered


def test_a_provider_that_only_refuses_is_not_asked_again_before_its_time(
    server: provider.EmbeddingServer, work: Callable[..., int]
) -> None:
    server.limit(100, announce=False)
    assert work(8, embed_requests_per_minute=6_000) == 100
    # Those in flight when the first was refused, and nobody afterwards
    assert 1 <= server.limited()["refused"] <= 8


def test_a_request_of_too_many_tokens_for_the_provider_is_split(server: provider.EmbeddingServer) -> None:
    """Whatever was estimated: 300,001 and more tokens in one request are refused, and no text is to blame."""
    texts = [f"{number} " + "word " * 7_000 for number in range(50)]
    with Provider(settings.Endpoint(server.base_url, SecretStr(server.api_key)), MODEL) as model:
        apart = embed_apart(model.embed_documents, texts)
    assert apart.accepted == list(range(50))
    assert apart.refused == {}
    assert server.usage()[MODEL.name]["requests"] == 2
    assert apart.tokens == server.usage()[MODEL.name]["tokens"] > 300_000
