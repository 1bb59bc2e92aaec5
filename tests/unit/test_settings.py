"""The environment: defaults, mistakes, secrets."""

import pytest
from pydantic import SecretStr

from config.settings import Settings
from reembed import settings

URL = "postgresql://me:verysecret@localhost/rag"
REDIS = "redis://localhost:6379/0"


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)


# docs/configuration.md and section 8 of the design. What an operator sets, and below what a service needs
OPERATOR = {
    "celery_broker_url": REDIS,
    "celery_result_backend": None,
    "embed_requests_per_minute": 0,
    "embed_tokens_per_minute": 0,
    "embed_batch_size": 500,
    "embed_batch_tokens": 250_000,
    "embed_max_input_tokens": 8192,
    "embed_overlong": "truncate",
    "embed_concurrency": 8,
    "embed_price_per_million_tokens": None,
    "storage": "column",
    "chunk_size": None,
    "index_method": "hnsw",
    "validation_sample": 400,
    "validation_k": 10,
    "validation_min_overlap": 0.6,
    "validation_overlap_floor": 0.1,
    "rerun_failed_every_seconds": 300,
    "catch_up_every_seconds": 30,
    "max_chunk_attempts": 5,
    "chunk_lease_seconds": 30.0,
}
SERVICE = {
    "openai_base_url": "https://api.openai.com/v1",
    "openai_api_key": SecretStr("none"),
    "embed_model": "text-embedding-3-large",
    "embed_dimensions": 768,
    "embed_document_prefix": "",
    "embed_query_prefix": "",
    "old_embed_model": None,
    "old_embed_dimensions": None,
    "old_embed_document_prefix": "",
    "old_embed_query_prefix": "",
    "old_openai_base_url": None,
    "old_openai_api_key": None,
    "documents_table": "documents",
    "documents_id_column": "id",
    "documents_content_column": "content",
    "old_column": "embedding",
    "new_column": "embedding_v2",
    "index_metric": "cosine",
    "use_v2_embeddings": None,
    "provider_timeout_seconds": 60.0,
}


def test_an_operator_sets_the_database_and_nothing_else_has_to_be_set() -> None:
    assert Settings.load().model_dump() == {**SERVICE, **OPERATOR, "database_url": SecretStr(URL)}


def test_a_service_has_to_set_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    assert settings.Settings.load().model_dump() == {**SERVICE, "database_url": None}


def test_what_nobody_sets_apart_is_the_brokers() -> None:
    assert Settings.load().result_backend == REDIS


def test_the_broker_and_the_place_of_the_counters_can_be_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://rabbit//")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "rediss://counters/1")
    loaded = Settings.load()
    assert (loaded.celery_broker_url, loaded.result_backend) == ("amqp://rabbit//", "rediss://counters/1")


def test_a_broker_that_counts_no_chords_wants_a_redis_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://rabbit//")
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == (
        "CELERY_RESULT_BACKEND is not a redis:// URL, and chords are counted in Redis whatever the broker is. "
        "Set it in the environment and try again."
    )
    assert error.value.exit_code == 2


def at_least(bound: str) -> str:
    return f"Input should be greater than or equal to {bound}"


def at_most(bound: str) -> str:
    return f"Input should be less than or equal to {bound}"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("EMBED_DIMENSIONS", "0", at_least("1")),
        ("EMBED_DIMENSIONS", "16001", at_most("16000")),
        (
            "EMBED_DIMENSIONS",
            "many",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        ("OLD_EMBED_DIMENSIONS", "0", at_least("1")),
        ("EMBED_REQUESTS_PER_MINUTE", "-1", at_least("0")),
        ("EMBED_TOKENS_PER_MINUTE", "-1", at_least("0")),
        ("EMBED_BATCH_SIZE", "0", at_least("1")),
        ("EMBED_BATCH_SIZE", "2049", at_most("2048")),
        ("EMBED_BATCH_TOKENS", "0", at_least("1")),
        ("EMBED_MAX_INPUT_TOKENS", "0", at_least("1")),
        ("EMBED_OVERLONG", "cut", "Input should be 'truncate' or 'fail'"),
        ("EMBED_CONCURRENCY", "0", at_least("1")),
        ("EMBED_CONCURRENCY", "257", at_most("256")),
        ("EMBED_PRICE_PER_MILLION_TOKENS", "-0.1", at_least("0")),
        ("CHUNK_SIZE", "0", at_least("1")),
        ("CHUNK_SIZE", "1000001", at_most("1000000")),
        ("INDEX_METHOD", "btree", "Input should be 'hnsw', 'ivfflat' or 'none'"),
        ("INDEX_METRIC", "l1", "Input should be 'cosine', 'l2' or 'ip'"),
        ("VALIDATION_SAMPLE", "0", at_least("1")),
        ("VALIDATION_K", "0", at_least("1")),
        ("VALIDATION_K", "101", at_most("100")),
        ("VALIDATION_MIN_OVERLAP", "1.1", at_most("1")),
        ("VALIDATION_OVERLAP_FLOOR", "-0.1", at_least("0")),
        ("RERUN_FAILED_EVERY_SECONDS", "0", at_least("1")),
        ("CATCH_UP_EVERY_SECONDS", "0", at_least("1")),
        ("MAX_CHUNK_ATTEMPTS", "0", at_least("1")),
        ("CHUNK_LEASE_SECONDS", "0.5", at_least("1")),
        ("PROVIDER_TIMEOUT_SECONDS", "0", "Input should be greater than 0"),
        (
            "USE_V2_EMBEDDINGS",
            "perhaps",
            "Input should be a valid boolean, unable to interpret input",
        ),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable_and_the_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == f"{name} cannot be used: {problem}. Set it in the environment and try again."
    assert error.value.exit_code == 2


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_database_is_named(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("DATABASE_URL")
    else:
        monkeypatch.setenv("DATABASE_URL", value)
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == "DATABASE_URL is not set. Set it in the environment and try again."
    assert error.value.exit_code == 2


def test_of_several_mistakes_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_DIMENSIONS", "0")
    monkeypatch.setenv("CHUNK_SIZE", "0")
    with pytest.raises(settings.InvalidSetting, match=r"^EMBED_DIMENSIONS cannot be used: [^.]+\. Set it"):
        Settings.load()


@pytest.mark.parametrize("name", sorted({**SERVICE, **OPERATOR}))
def test_empty_means_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name.upper(), "")
    assert getattr(Settings.load(), name) == {**SERVICE, **OPERATOR}[name]


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("false", False), ("1", True), ("0", False), ("TRUE", True)]
)
def test_the_flag_of_a_process_is_true_or_false(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("USE_V2_EMBEDDINGS", value)
    assert Settings.load().use_v2_embeddings is expected


def test_what_others_have_in_the_environment_is_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_SOMETHING", "else")
    assert Settings.load() == Settings.model_validate({"database_url": URL})


def test_names_are_taken_literally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCUMENTS_TABLE", '"My.Table"')
    monkeypatch.setenv("EMBED_QUERY_PREFIX", "query: ")
    loaded = Settings.load()
    assert loaded.documents_table == '"My.Table"'
    # A model is trained with the space
    assert loaded.embed_query_prefix == "query: "


@pytest.mark.parametrize("kind", [Settings, settings.Settings])
def test_no_secret_is_in_what_settings_print(
    monkeypatch: pytest.MonkeyPatch, kind: type[settings.Settings]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret")
    monkeypatch.setenv("OLD_OPENAI_API_KEY", "sk-verysecret-too")
    loaded = kind.load()
    endpoints = (loaded.new_endpoint, loaded.old_endpoint)
    for shown in (loaded, *endpoints, loaded.model_dump(), loaded.model_dump_json()):
        assert "verysecret" not in repr(shown)
        assert "verysecret" not in str(shown)
    assert [endpoint.api_key.get_secret_value() for endpoint in endpoints] == [
        "sk-verysecret",
        "sk-verysecret-too",
    ]


def test_no_secret_is_in_what_a_mistake_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret")
    monkeypatch.setenv("EMBED_DIMENSIONS", "verysecret")
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert "verysecret" not in repr(error.value)
    # What pydantic quotes goes no further
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_settings_are_not_changed_by_whoever_holds_them() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().embed_dimensions = 3  # type: ignore[misc]


def test_the_new_model_and_where_it_answers_are_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_MODEL", "new")
    monkeypatch.setenv("EMBED_DIMENSIONS", "4")
    monkeypatch.setenv("EMBED_DOCUMENT_PREFIX", "passage: ")
    monkeypatch.setenv("EMBED_QUERY_PREFIX", "query: ")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://new.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-new")
    loaded = Settings.load()
    assert loaded.new_model == settings.Model("new", 4, "passage: ", "query: ", "openai")
    assert loaded.new_endpoint == settings.Endpoint("https://new.example/v1", SecretStr("sk-new"))


NEW_URL, NEW_KEY = SERVICE["openai_base_url"], "sk-new"
OLD_URL, OLD_KEY = "https://old.example/v1", "sk-old"


@pytest.mark.parametrize(
    ("url", "key", "expected"),
    [
        (None, None, (NEW_URL, NEW_KEY)),
        (OLD_URL, None, (OLD_URL, NEW_KEY)),
        (None, OLD_KEY, (NEW_URL, OLD_KEY)),
        (OLD_URL, OLD_KEY, (OLD_URL, OLD_KEY)),
    ],
)
def test_the_old_model_answers_where_the_new_one_does_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, url: str | None, key: str | None, expected: tuple[str, str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", NEW_KEY)
    monkeypatch.setenv("OLD_OPENAI_BASE_URL", url or "")
    monkeypatch.setenv("OLD_OPENAI_API_KEY", key or "")
    endpoint = Settings.load().old_endpoint
    assert (endpoint.base_url, endpoint.api_key.get_secret_value()) == expected


def test_the_old_model_has_the_old_columns_width_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The new model's prefixes are not for it
    monkeypatch.setenv("EMBED_QUERY_PREFIX", "new: ")
    monkeypatch.setenv("OLD_EMBED_MODEL", "old")
    assert Settings.load().old_model(1536) == settings.Model("old", 1536)
    monkeypatch.setenv("OLD_EMBED_DIMENSIONS", "3")
    monkeypatch.setenv("OLD_EMBED_DOCUMENT_PREFIX", "passage: ")
    monkeypatch.setenv("OLD_EMBED_QUERY_PREFIX", "query: ")
    assert Settings.load().old_model(1536) == settings.Model("old", 3, "passage: ", "query: ")


def test_without_its_name_there_is_no_old_model_whatever_else_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLD_EMBED_DIMENSIONS", "1536")
    assert Settings.load().old_model(1536) is None


def test_a_model_is_shown_with_its_width() -> None:
    assert str(settings.Model("text-embedding-3-large", 768)) == "text-embedding-3-large (768)"
