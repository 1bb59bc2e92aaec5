"""The Retriever: what an application searches with.

Column and query model are decided together, by one read of the flag for each query. Between that read and the search,
`cleanup` may give the old column's name to the new vectors, or drop the table that they stood in. So the search itself
proves, in the snapshot in which it runs, that names still mean what they meant (`era`); if they do not, it begins again
with a fresh flag.
"""

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import errors as pg
from psycopg import rows, sql

from reembed import errors, settings
from reembed.database import catalog, distances, flags, queries, table
from reembed.database.connection import Connection
from reembed.embedding.provider import Provider
from reembed.retrieval import models

# `cleanup` can come between once in a migration; more than that is not the flag
_TRIES = 5


class NamesKeepChanging(errors.ReembedError):
    """The columns of {table} changed {tries} times during one search.

    Search again.
    """


@dataclass(frozen=True)
class Hit:
    id: Any
    content: str
    similarity: float
    """Higher is more similar: cosine similarity, 1 / (1 + L2 distance), or inner product."""


class Retriever:
    """Searches the environment's table through the flag. Threads may share it; connections are the caller's.

    retriever = Retriever()
    hits = retriever.search(connection, "how do I rotate a key?", top_k=5)
    """

    def __init__(self, environment: settings.Settings | None = None) -> None:
        """Reads the environment unless given one. Raises settings.InvalidSetting, table.InvalidTableName."""
        self._environment = environment or settings.Settings.load()
        self._schema, self._name = table.parse(self._environment.documents_table)
        self._providers: dict[models.Choice, Provider] = {}
        self._making = threading.Lock()

    def search(self, connection: Connection, query: str, top_k: int = 10) -> list[Hit]:
        """The `top_k` nearest documents, most similar first.

        Leaves the connection's transaction as it found it. Raises models.QueryModelMissing where the environment does
        not name the model of the column in use, errors.Transient and errors.Broken for the provider.
        """
        for _ in range(_TRIES):
            schema = self._schema or self._find_schema(connection)
            flag = flags.read(connection, schema, self._name)
            side = self._side(connection, schema, flag)
            vector = self._provider(models.choose(flag, side, self._environment)).embed_query(query)
            hits = self._nearest(connection, schema, flag, side, vector, top_k)
            if hits is not None:
                return hits
        raise NamesKeepChanging(table=self._environment.documents_table, tries=_TRIES)

    def close(self) -> None:
        for provider in self._providers.values():
            provider.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _side(self, connection: Connection, schema: str, flag: flags.Flag | None) -> flags.Side:
        if flag is not None:
            return flag.active(self._environment.use_v2_embeddings)
        column = self._environment.old_column
        with connection.transaction():
            kind, width = catalog.vector_type(connection, schema, self._name, column)
        return flags.Side(column, kind, width, None)

    def _nearest(
        self,
        connection: Connection,
        schema: str,
        flag: flags.Flag | None,
        side: flags.Side,
        vector: NDArray[np.float32],
        top_k: int,
    ) -> list[Hit] | None:
        """None where a name no longer means what the flag said."""
        era = flag.era if flag else 0
        query = self._compose(schema, flag, side)
        # As text: a connection that knows nothing of pgvector can be searched with, too
        values = {
            "query": Vector(vector).to_text(),
            "limit": top_k,
            "era": era,
            "schema": schema,
            "name": self._name,
        }
        try:
            with connection.transaction(), connection.cursor(row_factory=rows.class_row(Hit)) as cursor:
                hits = cursor.execute(query, values).fetchall()
        except pg.UndefinedColumn:
            return None
        except pg.UndefinedTable:
            if side.companion is None:
                raise
            return None
        if hits or flag is None:
            return hits
        now = flags.read(connection, schema, self._name)
        return hits if now is not None and now.era == era else None

    def _compose(self, schema: str, flag: flags.Flag | None, side: flags.Side) -> sql.Composed:
        environment = self._environment
        column = queries.identifier("n" if side.companion else "d", side.column)
        metric = flag.metric if flag else environment.index_metric
        distance = distances.distance(
            column, sql.Placeholder("query"), metric, side.column_type, side.dimensions
        )
        key = queries.identifier(environment.documents_id_column)
        joined: sql.Composable = sql.SQL("")
        if side.companion:
            joined = queries.compose(
                "joined", {"companion": queries.identifier(schema, side.companion), "id": key}
            )
        return queries.compose(
            "search",
            {
                "table": queries.identifier(schema, self._name),
                "joined": joined,
                "id": key,
                "content": queries.identifier(environment.documents_content_column),
                "column": column,
                "distance": distance,
                "similarity": distances.similarity(distance, metric),
                # Without a ledger there is no cleanup to fear
                "unchanged": queries.compose("unchanged") if flag else sql.SQL("true"),
            },
        )

    def _find_schema(self, connection: Connection) -> str:
        # Ended before the provider is asked: a transaction left open here would keep its locks on the table
        with connection.transaction():
            self._schema = catalog.schema_of(connection, self._name)
        return self._schema

    def _provider(self, choice: models.Choice) -> Provider:
        with self._making:
            if choice not in self._providers:
                model, endpoint = choice
                self._providers[choice] = Provider(
                    endpoint, model, timeout_seconds=self._environment.provider_timeout_seconds
                )
            return self._providers[choice]
