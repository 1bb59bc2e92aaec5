"""Which column a search reads, and which model embeds its query: by the flag and the environment alone."""

import pytest

from reembed.database.flags import Flag, Side
from reembed.retrieval import models
from reembed.settings import Model, Settings

OLD, NEW, OTHER = Model("old", 3), Model("new", 4), Model("other", 5)


def environment(model: Model, old: Model | None = None) -> Settings:
    return Settings(
        embed_model=model.name,
        embed_dimensions=model.dimensions,
        openai_base_url="https://new.example/v1",
        old_embed_model=old.name if old else None,
        old_openai_base_url="https://old.example/v1" if old else None,
    )


def flag(state: str, old_model: Model | None = OLD) -> Flag:
    return Flag(
        state, 0, "cosine", Side("embedding", "vector", 3, old_model), Side("embedding_v2", "vector", 4, NEW)
    )


@pytest.mark.parametrize(
    "state", ["planned", "backfilling", "paused", "indexing", "validating", "ready", "needs_review", "failed"]
)
def test_before_the_switch_the_old_column_is_searched(state: str) -> None:
    assert flag(state).active().column == "embedding"


def test_after_the_switch_the_new_column_is_searched() -> None:
    assert flag("switched").active() == Side("embedding_v2", "vector", 4, NEW)


@pytest.mark.parametrize("override", [None, True, False])
def test_after_the_cleanup_the_one_column_is_searched_with_the_new_model_whatever_a_process_overrides(
    override: bool | None,
) -> None:
    assert flag("cleaned").active(override) == Side("embedding", "vector", 4, NEW)


def test_an_override_chooses_the_side_while_there_are_two() -> None:
    assert flag("switched").active(False).column == "embedding"
    assert flag("ready").active(True).column == "embedding_v2"
    # Where the new column may not be there yet, there is no choice
    assert flag("planned").active(True).column == "embedding"


@pytest.mark.parametrize(
    ("current", "service", "expected"),
    [
        ("both models are named, before the switch", environment(NEW, OLD), (OLD, "https://old.example/v1")),
        (
            "the service still has its only model, the old one",
            environment(OLD),
            (OLD, "https://new.example/v1"),
        ),
    ],
)
def test_a_query_for_the_old_column_is_embedded_by_the_old_model(
    current: str, service: Settings, expected: tuple[Model, str]
) -> None:
    model, endpoint = models.choose(flag("ready"), flag("ready").old, service)
    assert (model, endpoint.base_url) == expected, current


def test_a_query_for_the_new_column_is_embedded_by_the_new_model() -> None:
    model, endpoint = models.choose(flag("switched"), flag("switched").new, environment(NEW, OLD))
    assert (model, endpoint.base_url) == (NEW, "https://new.example/v1")


def test_the_prefix_of_a_query_is_the_ledgers() -> None:
    made_by = Model("old", 3, query_prefix="query: ")
    model, _ = models.choose(
        flag("ready", made_by), Side("embedding", "vector", 3, made_by), environment(NEW, OLD)
    )
    assert model.query_prefix == "query: "


def test_a_model_that_the_environment_does_not_name_is_refused() -> None:
    with pytest.raises(models.QueryModelMissing) as error:
        models.choose(flag("ready"), flag("ready").old, environment(NEW))
    assert str(error.value) == (
        "The column embedding holds vectors of old (3), and the environment names no such model. Set OLD_EMBED_MODEL "
        "and OLD_EMBED_DIMENSIONS (before the switch) or EMBED_MODEL and EMBED_DIMENSIONS (after it)."
    )


def test_where_nobody_said_what_made_the_old_vectors_the_service_knows_best() -> None:
    unknown = flag("ready", None)
    # It names an old model
    assert models.choose(unknown, unknown.old, environment(NEW, OLD))[0] == OLD
    # Or has another than the migration's
    assert models.choose(unknown, unknown.old, environment(OTHER))[0] == OTHER
    # Or only the migration's, which cannot have made them
    with pytest.raises(models.QueryModelMissing):
        models.choose(unknown, unknown.old, environment(NEW))


def test_without_any_migration_the_services_model_made_what_it_searches() -> None:
    assert models.choose(None, Side("embedding", "vector", 5, None), environment(OTHER))[0] == OTHER
