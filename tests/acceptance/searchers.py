"""Those who search without pause while the flag moves: in threads and in asyncio, on connections and on pools."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from reembed import settings
from reembed.retrieval import AsyncRetriever, Hit, Retriever


class Searchers:
    def __init__(self, url: str, environment: settings.Settings, query: str) -> None:
        self._url = url
        self._environment = environment
        self._query = query
        self.stop = threading.Event()
        self.found = [0, 0, 0, 0]
        """Searches that were answered, of each of them."""
        self.wrong: list[object] = []

    def run(self, who: int) -> None:
        """One of them: on a connection of before, on a new one each time, on a pool with keys, or in asyncio."""
        search = (self._lasting, self._fresh, self._pooled, lambda: asyncio.run(self._asyncio()))[who]
        while not self.stop.is_set():
            try:
                search()
            except Exception as error:
                self.wrong.append(repr(error))

    def _look(self, who: int, hits: Sequence[Hit]) -> None:
        """The first hit is the query's own document, or column and model did not match."""
        self.found[who] += 1
        if [hit.content for hit in hits][:1] != [self._query] or hits[0].similarity < 0.999:
            self.wrong.append([(hit.content, hit.similarity) for hit in hits])

    def _lasting(self) -> None:
        with (
            Retriever(self._environment) as retriever,
            psycopg.connect(self._url, autocommit=True) as connection,
        ):
            while not self.stop.is_set():
                self._look(0, retriever.search(connection, self._query, top_k=3))

    def _fresh(self) -> None:
        with Retriever(self._environment) as retriever:
            while not self.stop.is_set():
                with psycopg.connect(self._url) as connection:
                    self._look(1, retriever.search(connection, self._query, top_k=3))

    def _pooled(self) -> None:
        """With a filter, a thread in the background, and a shadow."""
        busy = self._environment.model_copy(update={"search_background": True, "shadow_percent": 20.0})
        with Retriever(busy) as retriever, ConnectionPool(self._url, min_size=1, open=True) as pool:
            while not self.stop.is_set():
                key = f"user {self.found[2]}"
                hits = retriever.search(pool, self._query, top_k=3, key=key, where="length(content) > 3")
                self._look(2, hits)

    async def _asyncio(self) -> None:
        async with (
            AsyncRetriever(self._environment) as retriever,
            await psycopg.AsyncConnection.connect(self._url) as connection,
            AsyncConnectionPool(self._url, min_size=1, open=False) as pool,
        ):
            while not self.stop.is_set():
                key = f"user {self.found[3]}"
                for hits in await asyncio.gather(
                    retriever.search(connection, self._query, top_k=3),
                    retriever.search(pool, self._query, top_k=3, key=key, ef_search=20),
                ):
                    self._look(3, hits)


@contextmanager
def searching_without_pause(url: str, environment: settings.Settings, query: str) -> Iterator[list[int]]:
    """All four of them; how often each was answered. None saw an error or a wrong answer, or the test fails."""
    searchers = Searchers(url, environment, query)
    threads = [threading.Thread(target=searchers.run, args=(who,)) for who in range(len(searchers.found))]
    for thread in threads:
        thread.start()
    try:
        yield searchers.found
    finally:
        searchers.stop.set()
        for thread in threads:
            thread.join()
    assert searchers.wrong == []
