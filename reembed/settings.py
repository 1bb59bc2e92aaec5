"""What a service that searches needs from the environment. An operator's settings extend these in config/settings.py.

Every value has its unit in the name or in the line above it, a default that suits most tables, and no second
place where it is read.
"""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from reembed import errors

Metric = Literal["cosine", "l2", "ip"]


class InvalidSetting(errors.Usage):
    """{name} {problem}.

    Set it in the environment and try again.
    """


@dataclass(frozen=True)
class Model:
    """One embedding model, as exactly as its vectors depend on it: one row of `reembed.models`.

    Two vectors may be compared only if their models are equal in every field.
    """

    name: str
    dimensions: int
    document_prefix: str = ""
    query_prefix: str = ""
    provider: str = "openai"

    def __str__(self) -> str:
        return f"{self.name} ({self.dimensions})"


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers: any server that speaks the OpenAI embeddings API."""

    base_url: str
    api_key: SecretStr


class Settings(BaseSettings):
    """The environment of a service. A variable's name is the field's, in upper case; empty means unset."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    # libpq URL. A service may hand its own connections to the Retriever and leave this unset
    database_url: SecretStr | None = None

    openai_base_url: str = "https://api.openai.com/v1"
    # Servers that ask for no key still want a header; the openai package refuses an empty one
    openai_api_key: SecretStr = SecretStr("none")

    # The new model
    embed_model: str = "text-embedding-3-large"
    embed_dimensions: int = Field(default=768, ge=1, le=16_000)
    # For models trained with prompts
    embed_document_prefix: str = ""
    embed_query_prefix: str = ""

    # The old model: set only while it still answers
    old_embed_model: str | None = None
    # Unset: the width of the old column
    old_embed_dimensions: int | None = Field(default=None, ge=1, le=16_000)
    old_embed_document_prefix: str = ""
    old_embed_query_prefix: str = ""
    # Unset: the new model's
    old_openai_base_url: str | None = None
    old_openai_api_key: SecretStr | None = None

    # Taken literally, no case folding: `schema.table`; double quotes protect a dot, as in SQL
    documents_table: str = "documents"
    documents_id_column: str = "id"
    documents_content_column: str = "content"
    old_column: str = "embedding"
    new_column: str = "embedding_v2"

    index_metric: Metric = "cosine"

    # Overrides the flag in the database for this process: true is the new column, false the old one
    use_v2_embeddings: bool | None = None

    # Whether a process that searches opens one connection of its own to DATABASE_URL, in the background: to hear of the
    # flag at once, to count searches by side, and for the shadow
    search_background: bool = False
    # Percent of live searches that run on the other side as well, after they were answered
    shadow_percent: float = Field(default=0.0, ge=0, le=100)

    # Seconds one request to the provider may take before it counts as unavailable
    provider_timeout_seconds: float = Field(default=60.0, gt=0)

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises InvalidSetting, naming the first variable that cannot be used and why.
        """
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(str(part) for part in first["loc"]).upper()
            problem = "is not set" if first["type"] == "missing" else f"cannot be used: {first['msg']}"
            raise InvalidSetting(name=name, problem=problem) from None

    @property
    def new_model(self) -> Model:
        return Model(
            self.embed_model, self.embed_dimensions, self.embed_document_prefix, self.embed_query_prefix
        )

    @property
    def new_endpoint(self) -> Endpoint:
        return Endpoint(self.openai_base_url, self.openai_api_key)

    def old_model(self, width: int) -> Model | None:
        """The old model, where OLD_EMBED_MODEL says that it still answers; `width` is that of the old column."""
        if self.old_embed_model is None:
            return None
        return Model(
            self.old_embed_model,
            self.old_embed_dimensions or width,
            self.old_embed_document_prefix,
            self.old_embed_query_prefix,
        )

    @property
    def old_endpoint(self) -> Endpoint:
        return Endpoint(
            self.old_openai_base_url or self.openai_base_url, self.old_openai_api_key or self.openai_api_key
        )
