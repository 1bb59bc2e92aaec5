"""Which model embeds a query: a function of the flag and of the environment, and of nothing else."""

from reembed import errors, settings
from reembed.database.flags import Flag, Side


class QueryModelMissing(errors.Usage):
    """The column {column} holds vectors of {model}, and the environment names no such model.

    Set OLD_EMBED_MODEL and OLD_EMBED_DIMENSIONS (before the switch) or EMBED_MODEL and EMBED_DIMENSIONS (after it).
    """


Choice = tuple[settings.Model, settings.Endpoint]


def choose(flag: Flag | None, side: Side, environment: settings.Settings) -> Choice:
    """The model that made the side's vectors, and where it answers. Raises QueryModelMissing."""
    new = (environment.new_model, environment.new_endpoint)
    old_model = environment.old_model(side.dimensions)
    old = (old_model, environment.old_endpoint) if old_model else None
    if side.model is not None:
        return _same(side.model, side, new, old)
    # Nobody ever said what made the old vectors
    if old is not None:
        return old
    if flag is None or not _is(environment.new_model, flag.new.model):
        # The service's only model, still the old one: the migration goes somewhere else
        return new
    raise QueryModelMissing(column=side.column, model="an old model that nobody named")


def _same(model: settings.Model, side: Side, *choices: Choice | None) -> Choice:
    """The ledger's model, prefix and all, at the endpoint that the environment gives for it."""
    for choice in choices:
        if choice is not None and _is(choice[0], model):
            return model, choice[1]
    raise QueryModelMissing(column=side.column, model=model)


def _is(one: settings.Model, other: settings.Model | None) -> bool:
    return other is not None and (one.name, one.dimensions) == (other.name, other.dimensions)
