"""One search as a program without I/O: it says what it wants next; whoever runs it, in threads or asyncio, gets that.

So whatever has to be decided is decided here, once for both. The steps of a search:

1. Where to search: the flag, from memory if it was read within a second, else from the database.
2. The query's vector, by the model that made the vectors of that side. No connection is held meanwhile.
3. The SELECT. Between 1 and 3, `cleanup` may give the old column's name to the new vectors, or `abort` drop the new
   column. So the SELECT itself proves, in the snapshot in which it runs, that names still mean what they meant (`era`).
4. No rows, or an error: the flag is read again. If it changed, the search begins again; otherwise that is the answer.
"""

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import sql

from reembed import errors, settings
from reembed.database import binary, catalog, flags, queries, table
from reembed.database import connection as connections
from reembed.database.flags import Side
from reembed.retrieval import composing, models, rights
from reembed.retrieval.cache import FlagCache
from reembed.retrieval.composing import Question, Reading

# `cleanup` can come between once in a migration; more than that is not the flag
_TRIES = 5


class NamesKeepChanging(errors.ReembedError):
    """The columns of {table} changed {tries} times during one search.

    Search again.
    """


class AnotherDatabase(errors.Usage):
    """This Retriever searches the database {one}, and was given a connection to {other}.

    Make one Retriever for each database: it remembers the flag.
    """


@dataclass(frozen=True)
class Hit:
    id: Any
    content: str
    similarity: float
    """Higher is more similar: cosine similarity, 1 / (1 + L2 distance), or inner product."""


AnyConnection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


@dataclass(frozen=True)
class Answer:
    hits: list[Hit]
    reading: Reading
    is_new: bool
    """Whether the new model's vectors were searched."""
    seconds: float
    """In the database, with the way there and back."""


@dataclass(frozen=True)
class Rows:
    """Wanted: the rows of a query, as dicts, in a transaction of its own or a savepoint of the caller's.

    Errors of the database are for the program to judge: they are thrown into it.
    """

    query: sql.SQL | sql.Composed
    values: Mapping[str, Any]
    check: Callable[[AnyConnection], None]
    """Raises where the connection is not one for this program."""
    local: Mapping[str, str] = field(default_factory=dict)
    """Settings for this query alone."""


@dataclass(frozen=True)
class Embed:
    """Wanted: the vector of a query."""

    choice: models.Choice
    text: str


Step = Rows | Embed
T = TypeVar("T")
Program = Generator[Step, Any, T]


class Programs:
    """Makes the programs of one table in one database; remembers the flag between them."""

    def __init__(self, environment: settings.Settings) -> None:
        """Raises table.InvalidTableName."""
        self.environment = environment
        self.cache = FlagCache()
        self._schema, self._name = table.parse(environment.documents_table)
        self._pgvector: tuple[int, ...] | None = None
        self._database: bytes | None = None

    def check(self, connection: AnyConnection) -> None:
        """Raises AnotherDatabase. Hosts may differ: replicas do."""
        database = connection.pgconn.db
        if self._database is None:
            self._database = database
        elif database != self._database:
            raise AnotherDatabase(one=self._database.decode(), other=database.decode())

    def search(self, question: Question, override: bool | None) -> Program[Answer]:
        """Raises models.QueryModelMissing, rights.MayNotSearch, NamesKeepChanging, and what `read` and the steps raise.

        `override` chooses the new (true) or old side instead of the flag, while both exist.
        """
        vectors: dict[models.Choice, binary.Query] = {}
        for _ in range(_TRIES):
            reading = self.cache.get() or (yield from self.read())
            side = reading.side(override, question.key)
            choice = models.choose(reading.flag, side, self.environment)
            if choice not in vectors:
                vectors[choice] = binary.Query((yield Embed(choice, question.query)))
            step = Rows(
                composing.statement(self.environment, reading, side, question),
                composing.values(reading, question, vectors[choice]),
                self.check,
                composing.local_settings(reading, question),
            )
            began = time.perf_counter()
            try:
                rows = yield step
            except (pg.ProgrammingError, pg.DataError) as error:
                # A name that is gone, a column of another width: if the flag does not explain it, the caller must
                if (yield from self.read()) != reading:
                    continue
                if isinstance(error, pg.InsufficientPrivilege):
                    raise _may_not_search(reading, side, error) from error
                raise
            seconds = time.perf_counter() - began
            if rows or (yield from self.read()).era == reading.era:
                hits = sorted((Hit(**row) for row in rows), key=_likeness)
                return Answer(hits, reading, reading.chooses_new(override, question.key), seconds)
        raise NamesKeepChanging(table=self.environment.documents_table, tries=_TRIES)

    def read(self) -> Program[Reading]:
        """Where to search, as the database says now. Raises rights.MayNotReadFlag."""
        asked = self.cache.ask()
        if self._schema is None:
            named = {"table": table.quoted(None, self._name)}
            self._schema = catalog.schema_in((yield self._query("describe_table", named)), self._name)
        schema, era, flag = self._schema, None, None
        try:
            (row,) = yield self._query("read_flag", {"schema": schema, "name": self._name})
        except flags.NO_LEDGER:
            pass
        except pg.InsufficientPrivilege as error:
            raise rights.MayNotReadFlag(reason=connections.first_line(error)) from error
        else:
            era, flag = row["era"], flags.of_row(row)
        column = None
        if flag is None:
            title, old = f"{schema}.{self._name}", self.environment.old_column
            described = yield self._query("describe_columns", {"table": table.quoted(schema, self._name)})
            kind, width = catalog.vector_type_in(described, title, old, "OLD_COLUMN")
            column = flags.Side(old, kind, width, None)
        if self._pgvector is None:
            versions = yield self._query("extension_version", {})
            self._pgvector = tuple(int(part) for row in versions for part in row["version"].split(".")[:2])
        reading = Reading(schema, self._name, era, flag, column, self._pgvector)
        self.cache.put(asked, reading)
        return reading

    def _query(self, name: str, values: Mapping[str, Any]) -> Rows:
        return Rows(queries.compose(name), values, self.check)


def needs_transaction(connection: AnyConnection, step: Rows) -> bool:
    """Whether a query must be wrapped: alone on an idle connection in autocommit, it is a transaction by itself.

    Raises AnotherDatabase.
    """
    step.check(connection)
    idle = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    return bool(step.local) or not (connection.autocommit and idle)


def setting(step: Rows) -> tuple[sql.Composed, dict[str, list[str]]]:
    """The query that sets what is for this step alone. Undone with the transaction: SET LOCAL outlives a savepoint."""
    return queries.compose("set_locally"), {"names": list(step.local), "values": list(step.local.values())}


def _may_not_search(reading: Reading, side: Side, error: psycopg.Error) -> rights.MayNotSearch:
    documents = f"{reading.schema}.{reading.name}"
    tables = f"{documents} and {reading.schema}.{side.companion}" if side.companion else documents
    return rights.MayNotSearch(table=documents, tables=tables, reason=connections.first_line(error))


def _likeness(hit: Hit) -> tuple[bool, float]:
    """Most similar first: an index that iterates in relaxed order does not keep to it. NaN is like nothing."""
    return math.isnan(hit.similarity), -hit.similarity
