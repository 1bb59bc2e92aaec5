"""The environment: defaults, mistakes, secrets."""

import pytest

from config.settings import Settings
from reembed import settings
from reembed.database.tuning import Tuning


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:verysecret@localhost/rag")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "EMBED_DIMENSIONS",
            "0",
            "EMBED_DIMENSIONS cannot be used: Input should be greater than or equal to 1.",
        ),
        (
            "INDEX_METHOD",
            "btree",
            "INDEX_METHOD cannot be used: Input should be 'hnsw', 'ivfflat' or 'none'.",
        ),
        (
            "EMBED_BATCH_SIZE",
            "9999",
            "EMBED_BATCH_SIZE cannot be used: Input should be less than or equal to 2048.",
        ),
        ("STORAGE", "elsewhere", "STORAGE cannot be used: Input should be 'column' or 'companion'."),
        ("INDEX_M", "101", "INDEX_M cannot be used: Input should be less than or equal to 100."),
        ("INDEX_M", "1", "INDEX_M cannot be used: Input should be greater than or equal to 2."),
        (
            "INDEX_EF_CONSTRUCTION",
            "3",
            "INDEX_EF_CONSTRUCTION cannot be used: Input should be greater than or equal to 4.",
        ),
        (
            "INDEX_EF_CONSTRUCTION",
            "1001",
            "INDEX_EF_CONSTRUCTION cannot be used: Input should be less than or equal to 1000.",
        ),
        ("INDEX_LISTS", "32769", "INDEX_LISTS cannot be used: Input should be less than or equal to 32768."),
        (
            "INDEX_MAINTENANCE_WORK_MEM",
            "2 gigabytes",
            "INDEX_MAINTENANCE_WORK_MEM cannot be used: String should match pattern '^[1-9]\\d*(kB|MB|GB)$'.",
        ),
        (
            "DATABASE_POOLER",
            "session",
            "DATABASE_POOLER cannot be used: Input should be 'none' or 'transaction'.",
        ),
    ],
)
def test_a_bad_value_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == f"{message} Set it in the environment and try again."
    assert error.value.exit_code == 2


def test_a_missing_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == "DATABASE_URL is not set. Set it in the environment and try again."


def test_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMBED_DIMENSIONS", "OLD_EMBED_MODEL", "CHUNK_SIZE", "USE_V2_EMBEDDINGS"):
        monkeypatch.setenv(name, "")
    loaded = Settings.load()
    assert (loaded.embed_dimensions, loaded.old_embed_model, loaded.chunk_size) == (768, None, None)
    assert loaded.use_v2_embeddings is None


def test_no_secret_is_in_what_settings_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret")
    monkeypatch.setenv("OLD_OPENAI_API_KEY", "sk-verysecret-too")
    loaded = Settings.load()
    for shown in (repr(loaded), str(loaded), repr(loaded.new_endpoint), repr(loaded.old_endpoint)):
        assert "verysecret" not in shown


def test_the_old_model_falls_back_on_the_new_ones_endpoint_and_the_old_columns_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLD_EMBED_MODEL", "old")
    loaded = Settings.load()
    assert loaded.old_model(1536) == settings.Model("old", 1536)
    assert loaded.old_endpoint == loaded.new_endpoint
    monkeypatch.setenv("OLD_EMBED_DIMENSIONS", "3")
    monkeypatch.setenv("OLD_OPENAI_BASE_URL", "https://old.example/v1")
    loaded = Settings.load()
    assert loaded.old_model(1536) == settings.Model("old", 3)
    assert loaded.old_endpoint.base_url == "https://old.example/v1"


def test_without_an_old_model_there_is_none() -> None:
    assert Settings.load().old_model(1536) is None


@pytest.mark.parametrize("url", ["verysecret", "kafka://me:verysecret@host"])
def test_a_broker_that_is_neither_redis_nor_rabbitmq_is_named_by_its_own_variable(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    for backend in ("", "redis://localhost/1"):
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        monkeypatch.setenv("CELERY_RESULT_BACKEND", backend)
        with pytest.raises(settings.InvalidSetting) as error:
            Settings.load()
        assert str(error.value) == (
            "CELERY_BROKER_URL is no URL of Redis (redis://, rediss://) or RabbitMQ (amqp://, amqps://). "
            "Set it in the environment and try again."
        )


def test_a_result_backend_that_is_not_redis_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "rpc://")
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == (
        "CELERY_RESULT_BACKEND is not a redis:// URL, and chords are counted in Redis whatever the broker is. "
        "Set it in the environment and try again."
    )


def test_a_broker_that_is_not_redis_needs_a_redis_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://localhost")
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == (
        "CELERY_RESULT_BACKEND is not set, and chords are counted in Redis whatever the broker is. "
        "Set it in the environment and try again."
    )
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://localhost/1")
    assert Settings.load().broker == "amqp://localhost"


def test_a_redis_with_tls_is_believed_only_with_its_certificate_unless_the_url_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "rediss://broker/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "rediss://backend/1?ssl_cert_reqs=none")
    assert Settings.load().broker == "rediss://broker/0?ssl_cert_reqs=required"
    assert Settings.load().result_backend == "rediss://backend/1?ssl_cert_reqs=none"


def test_no_password_of_redis_is_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://:verysecret@host/0")
    assert "verysecret" not in repr(Settings.load())


def test_a_graph_is_built_with_twice_as_many_candidates_as_neighbours_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INDEX_M", "40")
    monkeypatch.setenv("INDEX_EF_CONSTRUCTION", "79")
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == (
        "INDEX_EF_CONSTRUCTION cannot be used: pgvector wants at least twice INDEX_M=40. "
        "Set it in the environment and try again."
    )
    monkeypatch.setenv("INDEX_EF_CONSTRUCTION", "80")
    assert Settings.load().index_tuning == Tuning(m=40, ef_construction=80)


def test_behind_a_pooler_the_control_worker_needs_a_way_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOLER", "transaction")
    with pytest.raises(settings.InvalidSetting) as error:
        Settings.load()
    assert str(error.value) == (
        "DATABASE_DIRECT_URL is not set, and the control worker needs sessions of its own beside "
        "DATABASE_POOLER=transaction. Set it in the environment and try again."
    )
    monkeypatch.setenv("DATABASE_DIRECT_URL", "postgresql://me:verysecret@server/rag")
    loaded = Settings.load()
    assert (loaded.pooled, loaded.direct_database) == (True, "postgresql://me:verysecret@server/rag")
    assert "verysecret" not in repr(loaded)


def test_without_a_pooler_there_is_one_way_to_the_database() -> None:
    loaded = Settings.load()
    assert (loaded.pooled, loaded.direct_database) == (False, loaded.database)
