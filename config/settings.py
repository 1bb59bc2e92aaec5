"""What an operator sets in the environment, on top of what a service needs. Each default suits most tables."""

from typing import Literal, Self

from pydantic import Field, SecretStr

from reembed import settings
from reembed.database.table import Storage
from reembed.database.tuning import Tuning

IndexMethod = Literal["hnsw", "ivfflat", "none"]
Overlong = Literal["truncate", "mean", "fail"]
Pooler = Literal["none", "transaction"]
LogFormat = Literal["logfmt", "json"]
ProviderMode = Literal["direct", "batch"]

_REDIS = ("redis://", "rediss://")


class Settings(settings.Settings):
    """The environment of workers, orchestrator and command."""

    # libpq URL
    database_url: SecretStr
    # What stands before the server: `transaction` is pgbouncer's pool_mode of that name, and all like it
    database_pooler: Pooler = "none"
    # libpq URL past the pooler, for what needs a session of its own: the control worker
    database_direct_url: SecretStr | None = None

    # Secret because they may hold a password
    celery_broker_url: SecretStr = SecretStr("redis://localhost:6379/0")
    # Unset: the broker. Only chord counters live there; results are ignored
    celery_result_backend: SecretStr | None = None

    # The quota, shared by all workers; 0 is no limit
    embed_requests_per_minute: int = Field(default=0, ge=0)
    embed_tokens_per_minute: int = Field(default=0, ge=0)
    # Ceilings of one request: documents, and estimated tokens
    embed_batch_size: int = Field(default=500, ge=1, le=2048)
    embed_batch_tokens: int = Field(default=250_000, ge=1)
    # Longer texts are cut, embedded as the mean of their parts, or recorded as failures
    embed_max_input_tokens: int = Field(default=8192, ge=1)
    embed_overlong: Overlong = "truncate"
    # Requests in flight, in each worker process
    embed_concurrency: int = Field(default=8, ge=1, le=256)
    # US dollars; unset: the price list that comes with reembed
    embed_price_per_million_tokens: float | None = Field(default=None, ge=0)

    # Where the new vectors live
    storage: Storage = "column"
    # Documents; unset: by the table's size
    chunk_size: int | None = Field(default=None, ge=1, le=1_000_000)

    # Seconds that a worker waits out passing faults of the provider; then it puts the chunk off for a quarter of that
    provider_patience_seconds: float = Field(default=120.0, gt=0)

    # `batch`: chunks of the backfill go as jobs to the provider's Batch API, which takes a day and asks less
    provider_mode: ProviderMode = "direct"
    # Jobs at the provider at a time, of one migration
    provider_jobs: int = Field(default=20, ge=1)
    # Seconds between two looks at a job
    provider_job_look_seconds: float = Field(default=60.0, gt=0)
    # What a token costs by a job, as a share of its price
    provider_job_price_share: float = Field(default=0.5, ge=0, le=1)

    index_method: IndexMethod = "hnsw"
    # How the vector index is built; unset: by the table's size, see reembed/database/tuning.py
    index_m: int | None = Field(default=None, ge=2, le=100)
    index_ef_construction: int | None = Field(default=None, ge=4, le=1_000)
    index_lists: int | None = Field(default=None, ge=1, le=32_768)
    # As PostgreSQL writes it: 2GB. For the session that builds, while it builds
    index_maintenance_work_mem: str | None = Field(default=None, pattern=r"^[1-9]\d*(kB|MB|GB)$")
    index_parallel_workers: int | None = Field(default=None, ge=0, le=1_024)

    # A numeric column: chunks whose documents have the most of it are embedded first. Unset: in the order of keys
    backfill_order_column: str | None = None

    # Workers take no new batch while the database is over one of these; 0 is no limit
    govern_replication_lag_seconds: float = Field(default=0.0, ge=0)
    # Sessions of others at work, on the whole server
    govern_active_sessions: int = Field(default=0, ge=0)
    # Milliseconds that writing one batch takes, as a moving average
    govern_write_milliseconds: float = Field(default=0.0, ge=0)

    # Documents or queries to judge by; results of each that are compared
    validation_sample: int = Field(default=400, ge=1)
    validation_k: int = Field(default=10, ge=1, le=100)
    # Selects the text of users' queries, or an id and the text: what the judgement asks both columns. Unset: documents
    validation_queries_sql: str | None = None
    # A column to cut the documents by: tenant, language, source
    validation_slice_column: str | None = None
    # Per query: listed below this, as a warning. Mean: an alarm that fails the gate
    validation_min_overlap: float = Field(default=0.6, ge=0, le=1)
    validation_overlap_floor: float = Field(default=0.1, ge=0, le=1)

    # Share of the documents that may have been written since the judgement; beyond, `switch` wants another
    validation_max_changed: float = Field(default=0.05, ge=0, le=1)

    # nDCG@10 that the new model may lose where there are judgements
    validation_margin: float = Field(default=0.02, ge=0, le=1)

    # The schedule
    rerun_failed_every_seconds: int = Field(default=300, ge=1)
    catch_up_every_seconds: int = Field(default=30, ge=1)
    max_chunk_attempts: int = Field(default=5, ge=1)
    # A worker that says nothing for this long has lost its chunk
    chunk_lease_seconds: float = Field(default=30.0, ge=1)

    # Of workers, control worker and beat
    log_format: LogFormat = "logfmt"
    # Touched by a worker with each heartbeat that the broker took; empty: none
    heartbeat_file: str = ""
    # Where traces go, with the extra `tracing`; empty: nowhere
    otel_exporter_otlp_endpoint: str = ""

    @property
    def database(self) -> str:
        return self.database_url.get_secret_value()

    @property
    def pooled(self) -> bool:
        """Whether DATABASE_URL leads to another session in each transaction."""
        return self.database_pooler == "transaction"

    @property
    def direct_database(self) -> str:
        """A URL whose sessions last: for locks and settings of a session, and for building indexes."""
        direct = self.database_direct_url if self.pooled else None
        return (direct or self.database_url).get_secret_value()

    @property
    def index_tuning(self) -> Tuning:
        return Tuning(
            m=self.index_m,
            ef_construction=self.index_ef_construction,
            lists=self.index_lists,
            maintenance_work_mem=self.index_maintenance_work_mem,
            parallel_workers=self.index_parallel_workers,
        )

    @property
    def broker(self) -> str:
        return _checking_certificates(self.celery_broker_url)

    @property
    def broker_is_rabbitmq(self) -> bool:
        return self.broker.startswith(("amqp://", "amqps://", "pyamqp://"))

    @property
    def result_backend(self) -> str:
        return _checking_certificates(self.celery_result_backend or self.celery_broker_url)

    @classmethod
    def load(cls) -> Self:
        """Read the environment. Raises InvalidSetting."""
        loaded = super().load()
        if not (loaded.broker_is_rabbitmq or loaded.broker.startswith(_REDIS)):
            problem = "is no URL of Redis (redis://, rediss://) or RabbitMQ (amqp://, amqps://)"
            raise settings.InvalidSetting(name="CELERY_BROKER_URL", problem=problem)
        if not loaded.result_backend.startswith(_REDIS):
            wrong = "is not set" if loaded.celery_result_backend is None else "is not a redis:// URL"
            problem = f"{wrong}, and chords are counted in Redis whatever the broker is"
            raise settings.InvalidSetting(name="CELERY_RESULT_BACKEND", problem=problem)
        if loaded.pooled and loaded.database_direct_url is None:
            problem = "is not set, and the control worker needs sessions of its own beside DATABASE_POOLER=transaction"
            raise settings.InvalidSetting(name="DATABASE_DIRECT_URL", problem=problem)
        m, ef_construction = loaded.index_m, loaded.index_ef_construction
        if m is not None and ef_construction is not None and ef_construction < 2 * m:
            problem = f"cannot be used: pgvector wants at least twice INDEX_M={m}"
            raise settings.InvalidSetting(name="INDEX_EF_CONSTRUCTION", problem=problem)
        return loaded


def _checking_certificates(url: SecretStr) -> str:
    """Celery wants a rediss:// URL to say what becomes of certificates; unless it says so, they are checked."""
    plain = url.get_secret_value()
    if not plain.startswith("rediss://") or "ssl_cert_reqs=" in plain:
        return plain
    return f"{plain}{'&' if '?' in plain else '?'}ssl_cert_reqs=required"
