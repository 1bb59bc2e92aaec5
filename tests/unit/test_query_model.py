"""Which column a search reads, and which model embeds its query: by the flag and the environment alone."""

import pytest

from reembed.database.flags import Flag, Side
from reembed.retrieval import models
from reembed.settings import Model, Settings

OLD, NEW, OTHER = Model("old", 3), Model("new", 4), Model("other", 5)
HERE, THERE = "https://new.example/v1", "https://old.example/v1"

BEFORE = ("planned", "backfilling", "paused", "indexing", "validating", "ready", "needs_review", "failed")


def environment(model: Model, old: Model | None = None) -> Settings:
    return Settings(
        embed_model=model.name,
        embed_dimensions=model.dimensions,
        openai_base_url=HERE,
        old_embed_model=old.name if old else None,
        old_embed_dimensions=old.dimensions if old else None,
        old_openai_base_url=THERE if old else None,
    )


def flag(state: str, old_model: Model | None = OLD) -> Flag:
    return Flag(
        state, 0, "cosine", Side("embedding", "halfvec", 3, old_model), Side("embedding_v2", "vector", 4, NEW)
    )


OLD_SIDE, NEW_SIDE = flag("ready").old, flag("ready").new
# The old column's name, and all else of the new one
CLEANED_SIDE = Side("embedding", "vector", 4, NEW)


@pytest.mark.parametrize(
    ("state", "override", "side"),
    [
        *((state, None, OLD_SIDE) for state in BEFORE),
        *((state, False, OLD_SIDE) for state in BEFORE),
        *((state, True, NEW_SIDE) for state in BEFORE),
        ("switched", None, NEW_SIDE),
        ("switched", True, NEW_SIDE),
        ("switched", False, OLD_SIDE),
        # There is one column left, and no choice
        ("cleaned", None, CLEANED_SIDE),
        ("cleaned", True, CLEANED_SIDE),
        ("cleaned", False, CLEANED_SIDE),
    ],
)
def test_the_side_that_is_searched_follows_the_state_and_the_override_while_there_are_two(
    state: str, override: bool | None, side: Side
) -> None:
    assert flag(state).active(override) == side


def test_without_an_override_the_flag_decides() -> None:
    assert flag("ready").active() == OLD_SIDE
    assert flag("switched").active() == NEW_SIDE


# What the environment may be, and what a query is then embedded with. None: nobody can say
NEW_ALONE = environment(NEW)
BOTH = environment(NEW, OLD)
OLD_ALONE = environment(OLD)
OTHER_ALONE = environment(OTHER)
OTHER_AND_OLD = environment(OTHER, OLD)
UNNAMED_SIDE = Side("embedding", "halfvec", 3, None)


@pytest.mark.parametrize(
    ("found", "side", "service", "expected"),
    [
        # The old side, whose model the ledger knows
        (flag("ready"), OLD_SIDE, NEW_ALONE, None),
        (flag("ready"), OLD_SIDE, BOTH, (OLD, THERE)),
        (flag("ready"), OLD_SIDE, OLD_ALONE, (OLD, HERE)),
        (flag("ready"), OLD_SIDE, OTHER_ALONE, None),
        (flag("ready"), OLD_SIDE, OTHER_AND_OLD, (OLD, THERE)),
        # The new side
        (flag("switched"), NEW_SIDE, NEW_ALONE, (NEW, HERE)),
        (flag("switched"), NEW_SIDE, BOTH, (NEW, HERE)),
        (flag("switched"), NEW_SIDE, OLD_ALONE, None),
        (flag("switched"), NEW_SIDE, OTHER_ALONE, None),
        (flag("switched"), NEW_SIDE, OTHER_AND_OLD, None),
        # Named as the old one by a service that is ahead by a migration
        (flag("switched"), NEW_SIDE, environment(OTHER, NEW), (NEW, THERE)),
        # After the cleanup
        (flag("cleaned"), CLEANED_SIDE, NEW_ALONE, (NEW, HERE)),
        (flag("cleaned"), CLEANED_SIDE, BOTH, (NEW, HERE)),
        (flag("cleaned"), CLEANED_SIDE, OLD_ALONE, None),
        # The old side, and nobody ever said what made it: the service knows best
        (flag("ready", None), UNNAMED_SIDE, BOTH, (OLD, THERE)),
        (flag("ready", None), UNNAMED_SIDE, OTHER_AND_OLD, (OLD, THERE)),
        (flag("ready", None), UNNAMED_SIDE, OLD_ALONE, (OLD, HERE)),
        (flag("ready", None), UNNAMED_SIDE, OTHER_ALONE, (OTHER, HERE)),
        # The migration's own new model cannot have made them
        (flag("ready", None), UNNAMED_SIDE, NEW_ALONE, None),
        # No migration ever: what the service has made what it searches
        (None, UNNAMED_SIDE, NEW_ALONE, (NEW, HERE)),
        (None, UNNAMED_SIDE, OLD_ALONE, (OLD, HERE)),
        # EMBED_MODEL was set already, and `start` not yet typed
        (None, UNNAMED_SIDE, BOTH, (OLD, THERE)),
    ],
)
def test_a_query_is_embedded_by_the_model_that_made_the_column_or_by_none(
    found: Flag | None, side: Side, service: Settings, expected: tuple[Model, str] | None
) -> None:
    if expected is None:
        with pytest.raises(models.QueryModelMissing):
            models.choose(found, side, service)
        return
    model, endpoint = models.choose(found, side, service)
    assert (model, endpoint.base_url) == expected


@pytest.mark.parametrize(
    ("named", "matches"),
    [
        (Model("old", 3), True),
        # Another width or another name is another model
        (Model("old", 4), False),
        (Model("old-2", 3), False),
        (Model("OLD", 3), False),
    ],
)
def test_a_model_is_recognized_by_its_name_and_width(named: Model, matches: bool) -> None:
    service = environment(NEW, named)
    if matches:
        assert models.choose(flag("ready"), OLD_SIDE, service)[0] == OLD
    else:
        with pytest.raises(models.QueryModelMissing):
            models.choose(flag("ready"), OLD_SIDE, service)


def test_an_old_model_without_a_width_has_that_of_the_column() -> None:
    service = Settings(embed_model="new", embed_dimensions=4, old_embed_model="old")
    assert models.choose(flag("ready"), OLD_SIDE, service)[0] == OLD
    assert models.choose(None, Side("embedding", "vector", 1536, None), service)[0] == Model("old", 1536)


def test_the_prefix_of_a_query_is_the_ledgers_and_not_the_environments() -> None:
    made_by = Model("old", 3, document_prefix="passage: ", query_prefix="query: ")
    side = Side("embedding", "vector", 3, made_by)
    service = Settings(
        embed_model="new", embed_dimensions=4, old_embed_model="old", old_embed_query_prefix="changed: "
    )
    assert models.choose(flag("ready", made_by), side, service)[0] == made_by


def test_the_prefix_of_a_query_is_the_environments_where_the_ledger_has_none() -> None:
    service = Settings(
        embed_model="new", embed_dimensions=4, old_embed_model="old", old_embed_query_prefix="query: "
    )
    chosen, _ = models.choose(flag("ready", None), UNNAMED_SIDE, service)
    assert chosen == Model("old", 3, query_prefix="query: ")


@pytest.mark.parametrize(
    ("found", "side", "column", "model"),
    [
        (flag("ready"), OLD_SIDE, "embedding", "old (3)"),
        (flag("ready", None), UNNAMED_SIDE, "embedding", "an old model that nobody named"),
    ],
)
def test_before_the_switch_a_model_that_the_environment_does_not_name_is_refused_with_the_way_out(
    found: Flag, side: Side, column: str, model: str
) -> None:
    with pytest.raises(models.QueryModelMissing) as error:
        models.choose(found, side, NEW_ALONE)
    assert str(error.value) == message(column, model)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("found", "side", "column"),
    [(flag("switched"), NEW_SIDE, "embedding_v2"), (flag("cleaned"), CLEANED_SIDE, "embedding")],
)
def test_after_the_switch_a_service_that_was_left_behind_is_refused_with_the_way_out(
    found: Flag, side: Side, column: str
) -> None:
    with pytest.raises(models.QueryModelMissing) as error:
        models.choose(found, side, OLD_ALONE)
    assert str(error.value) == message(column, "new (4)")


def message(column: str, model: str) -> str:
    return (
        f"The column {column} holds vectors of {model}, and the environment names no such model. Set OLD_EMBED_MODEL "
        "and OLD_EMBED_DIMENSIONS (before the switch) or EMBED_MODEL and EMBED_DIMENSIONS (after it)."
    )
