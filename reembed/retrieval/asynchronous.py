"""The AsyncRetriever: the same for asyncio. Connections are asynchronous; the provider's client waits in threads."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Any, Protocol, Self

import psycopg
from psycopg import rows

from reembed import settings
from reembed.database import binary
from reembed.retrieval import program, providers, searching
from reembed.retrieval.composing import Question, Where
from reembed.retrieval.program import Answer, Hit, Program, Step

AsyncConnection = psycopg.AsyncConnection[Any]


class AsyncPool(Protocol):
    """Whatever lends connections, such as psycopg_pool.AsyncConnectionPool."""

    def connection(self) -> AbstractAsyncContextManager[Any]: ...


Lend = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class AsyncRetriever:
    """As Retriever, for asyncio. Tasks may share it."""

    def __init__(self, environment: settings.Settings | None = None) -> None:
        """Reads the environment unless given one. Raises settings.InvalidSetting, table.InvalidTableName."""
        self._searching = searching.Searching(environment or settings.Settings.load())
        # Not asyncio's own: others may keep that one busy
        self._threads = ThreadPoolExecutor(providers.CONCURRENT_QUERIES, "reembed-query")

    async def search(
        self,
        connection: AsyncConnection | AsyncPool,
        query: str,
        top_k: int = 10,
        *,
        key: object = None,
        where: Where | None = None,
        parameters: Mapping[str, Any] | None = None,
        ef_search: int | None = None,
        probes: int | None = None,
    ) -> list[Hit]:
        """What Retriever.search does, by its contract."""
        question = Question.of(query, top_k, key, where, parameters, ef_search, probes)
        lend: Lend = (
            (lambda: nullcontext(connection))
            if isinstance(connection, psycopg.AsyncConnection)
            else connection.connection
        )
        answer = await self._run(lend, self._searching.ask(question))
        self._searching.answered(question, answer)
        return answer.hits

    async def close(self) -> None:
        # In a thread: the background may be in the middle of something
        await asyncio.to_thread(self._searching.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, lend: Lend, searched: Program[Answer]) -> Answer:
        try:
            step = next(searched)
            while True:
                try:
                    wanted = await self._perform(lend, step)
                except Exception as error:
                    step = searched.throw(error)
                else:
                    step = searched.send(wanted)
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    async def _perform(self, lend: Lend, step: Step) -> Any:
        if isinstance(step, program.Embed):
            embed = self._searching.providers.of(step.choice).embed_query
            return await asyncio.get_running_loop().run_in_executor(self._threads, embed, step.text)
        async with lend() as connection:
            if not program.needs_transaction(connection, step):
                return await _fetch(connection, step)
            async with connection.transaction(force_rollback=bool(step.local)):
                return await _fetch(connection, step)


async def _fetch(connection: AsyncConnection, step: program.Rows) -> list[dict[str, Any]]:
    async with psycopg.AsyncCursor(connection, row_factory=rows.dict_row) as cursor:
        binary.register_query(cursor)
        if step.local:
            await cursor.execute(*program.setting(step))
        await cursor.execute(step.query, step.values)
        return await cursor.fetchall()
