"""`search(session, query, top_k)` for those who have a SQLAlchemy Session: the whole of it, with one import.

    from reembed.retrieval.session import search

    for hit in search(session, "how do I rotate a key?", top_k=5): ...

SQLAlchemy is not imported here, and not needed by those who do not use it.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from reembed import errors
from reembed.retrieval.program import Hit
from reembed.retrieval.retriever import Retriever


class AnotherDriver(errors.Usage):
    """The session's driver is {driver}, and reembed searches with psycopg 3.

    Write postgresql+psycopg:// in the engine's URL, or use reembed.retrieval.statement(), which is for any driver.
    """


def search(session: Any, query: str, top_k: int = 10, **more: Any) -> list[Hit]:
    """The `top_k` nearest documents, most similar first, by the environment of this process.

    `USE_V2_EMBEDDINGS`, where it is set, overrides the flag. `more` is what Retriever.search takes besides: `key`,
    `where`, ... In the session's transaction where one is under way, so that it sees what the session wrote; otherwise
    on a connection of the engine's for each statement, so that none is held while the provider works. Raises
    AnotherDriver, and what Retriever.search raises.
    """
    return _retriever().search(_Lender(session), query, top_k, **more)


class _Lender:
    """A session as a pool."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        bind = self._session.get_bind()
        # A session that is bound to a connection has no other
        if self._session.in_transaction() or not hasattr(bind, "connect"):
            yield _psycopg(self._session.connection())
        else:
            with bind.connect() as connection:
                yield _psycopg(connection)


def _psycopg(connection: Any) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise AnotherDriver(driver=type(driver).__module__.split(".")[0])
    return driver


@functools.cache
def _retriever() -> Retriever:
    return Retriever()
