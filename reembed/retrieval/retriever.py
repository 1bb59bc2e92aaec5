"""The Retriever: what an application searches with, in threads."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Protocol, Self

import psycopg

from reembed import settings
from reembed.retrieval import driver
from reembed.retrieval.composing import Question, Where
from reembed.retrieval.program import Hit
from reembed.retrieval.searching import Searching


class Pool(Protocol):
    """Whatever lends connections, such as psycopg_pool.ConnectionPool."""

    def connection(self) -> AbstractContextManager[Any]: ...


class Retriever:
    """Searches the environment's table through the flag. Threads may share it; connections are the caller's.

    retriever = Retriever()
    hits = retriever.search(connection, "how do I rotate a key?", top_k=5)

    It serves one database (its replicas count as the same), because it remembers the flag for up to a second.
    """

    def __init__(self, environment: settings.Settings | None = None) -> None:
        """Reads the environment unless given one. Raises settings.InvalidSetting, table.InvalidTableName."""
        self._searching = Searching(environment or settings.Settings.load())

    def search(
        self,
        connection: psycopg.Connection[Any] | Pool,
        query: str,
        top_k: int = 10,
        *,
        key: object = None,
        where: Where | None = None,
        parameters: Mapping[str, Any] | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
    ) -> list[Hit]:
        """The `top_k` nearest documents, most similar first.

        - `key`, a user's or a tenant's: what a canary goes by. The same key (its `str`) always takes the same side.
          Without one, the old column is searched until the switch
        - `where`: a condition on the documents' columns, in SQL, with `parameters` as `%(name)s` and a percent sign
          doubled. The condition is trusted as your program's own text is, so write it in the program or compose it with
          psycopg.sql; the parameters are bound, so they may come from anywhere
        - `ef_search` (HNSW) and `probes` (ivfflat): for this search alone. With a filter, and for a `top_k` above 40,
          an index goes on looking until it found enough (pgvector 0.8; up to its hnsw.max_scan_tuples)

        Leaves the connection's transaction and its settings as they were. A pool lends a connection for each statement,
        so none is held while the provider works. Raises models.QueryModelMissing where the environment does not name
        the model of the column in use, rights.MayNotReadFlag and rights.MayNotSearch where the connection's role wants
        rights, composing.ParameterTaken, errors.Transient and errors.Broken for the provider.
        """
        question = Question.of(query, top_k, key, where, parameters, ef_search, probes)
        lend: driver.Lend = (
            (lambda: nullcontext(connection))
            if isinstance(connection, psycopg.Connection)
            else connection.connection
        )
        answer = driver.run(lend, self._searching.ask(question), self._searching.providers)
        self._searching.answered(question, answer)
        return answer.hits

    def close(self) -> None:
        self._searching.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
