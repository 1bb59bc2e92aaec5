"""A search as SQL text and parameters, for those who bring their own driver.

They read the flag with it, embed the query by the model that the flag names, run this, and look again if nothing came
back. docs/integration.md shows the whole of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reembed import errors, settings
from reembed.database import table
from reembed.database.flags import Side
from reembed.retrieval import composing
from reembed.retrieval.composing import Where

FLAG = "SELECT * FROM reembed.flag(%(documents)s, %(key)s)"
"""What to read the flag with, in the style pyformat; `documents` is the table's name as a regclass wants it."""

Style = Literal["pyformat", "named", "numeric"]
"""`%(name)s`, as psycopg, psycopg2 and SQLAlchemy's exec_driver_sql take it; `:name`, as sqlalchemy.text does; `$1`, as
asyncpg does, with the parameters in a list."""

_TOKEN = re.compile(r"%%|%\((?P<name>\w+)\)s|(?<!:):(?=\w)")


class UnknownParameter(errors.Usage):
    """The condition names a parameter {name}, and none of that name was given.

    Give it in `parameters`.
    """


@dataclass(frozen=True)
class Statement:
    text: str
    parameters: dict[str, Any] | list[Any]
    """By name, or for the style numeric by position."""


def statement(
    flag: Mapping[str, Any] | None,
    vector: Sequence[float],
    top_k: int = 10,
    *,
    style: Style = "pyformat",
    where: Where | None = None,
    parameters: Mapping[str, Any] | None = None,
    environment: settings.Settings | None = None,
) -> Statement:
    """The SELECT of a search: rows of `id`, `content` and `similarity`, most similar first.

    `flag` is the row of `reembed.flag(...)`; None where that has no row, or where there is no such function yet: then
    the old column is searched. `vector` is the query's, by the flag's model. `where` is as Retriever.search has it,
    with `%(name)s` whatever the style. No rows may mean that the flag changed: read it again, and search again if its
    `era` is another. Without a flag nothing proves that it did not change.

    Raises composing.ParameterTaken, UnknownParameter, table.InvalidTableName, settings.InvalidSetting.
    """
    environment = environment or settings.Settings.load()
    schema, name = table.parse(environment.documents_table)
    question = composing.Question.of("", top_k, None, where, parameters, None, None)
    if flag is None:
        side = Side(environment.old_column, "vector", len(vector), None)
    else:
        schema = flag["schema_name"]
        companion = flag["searched_table"] if flag["searched_table"] != name else None
        side = Side(flag["column_name"], flag["column_type"], flag["dimensions"], None, companion)
    text = composing.compose(
        composing.Documents.of(environment, schema, name),
        side,
        flag["metric"] if flag else environment.index_metric,
        "era" if flag else "none",
        question.where,
        top_k,
        query_as_text=True,
    )
    values = {
        **question.parameters,
        "reembed_query": f"[{','.join(str(float(value)) for value in vector)}]",
        "reembed_era": flag and flag["era"],
        "reembed_schema": schema,
        "reembed_name": name,
    }
    return _styled(text.as_string(), values, style)


def _styled(text: str, values: Mapping[str, Any], style: Style) -> Statement:
    order: list[str] = []

    def translate(token: re.Match[str]) -> str:
        name = token["name"]
        if name is None:
            # Of a percent sign there are two only for pyformat, and a colon means something only for `named`
            if token[0] == "%%":
                return "%%" if style == "pyformat" else "%"
            return r"\:" if style == "named" else ":"
        if name not in values:
            raise UnknownParameter(name=name)
        if name not in order:
            order.append(name)
        return {"pyformat": token[0], "named": f":{name}", "numeric": f"${order.index(name) + 1}"}[style]

    told = _TOKEN.sub(translate, text)
    if style == "numeric":
        return Statement(told, [values[name] for name in order])
    return Statement(told, {name: values[name] for name in order})
