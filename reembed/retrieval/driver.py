"""Runs the program of a search in the thread that asks: connections of psycopg, the provider's client."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import psycopg
from psycopg import rows

from reembed.database import binary
from reembed.database.connection import Connection
from reembed.retrieval import program
from reembed.retrieval.program import Program, Step
from reembed.retrieval.providers import Providers

Lend = Callable[[], AbstractContextManager[Connection]]
T = TypeVar("T")


def run(lend: Lend, steps: Program[T], providers: Providers) -> T:
    """What the program returns. Errors of a step are thrown into it: whether they are the caller's, it knows."""
    try:
        step = next(steps)
        while True:
            try:
                wanted = _perform(lend, step, providers)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(wanted)
    except StopIteration as end:
        result: T = end.value
        return result


def _perform(lend: Lend, step: Step, providers: Providers) -> Any:
    if isinstance(step, program.Embed):
        return providers.of(step.choice).embed_query(step.text)
    with lend() as connection:
        if not program.needs_transaction(connection, step):
            return _fetch(connection, step)
        # Rolled back where there are settings to undo: nothing was written
        with connection.transaction(force_rollback=bool(step.local)):
            return _fetch(connection, step)


def _fetch(connection: Connection, step: program.Rows) -> list[dict[str, Any]]:
    # Whatever cursors the connection makes by itself
    with psycopg.Cursor(connection, row_factory=rows.dict_row) as cursor:
        binary.register_query(cursor)
        if step.local:
            cursor.execute(*program.setting(step))
        return cursor.execute(step.query, step.values).fetchall()
