"""The socket that the server listens on, which can be closed for a while, as if nobody were there."""

import asyncio

from tornado import httpserver, netutil, web

from orchestrator.embedded import ports
from orchestrator.embedding_server import files

# The largest file, with room for the form around it, and for one that is too large to be told so
MAX_BODY_BYTES = files.MAX_BYTES + 10_000_000


class Listener:
    """On the loopback interface only."""

    def __init__(self, application: web.Application, port: int) -> None:
        """Listens at once; port 0 lets the system pick a free one, which is kept while it is closed."""
        self._application = application
        self._reserved = None if port else ports.reserve()
        self.port = ports.number(self._reserved) if self._reserved else port
        self._open()

    def close(self) -> None:
        """From now on new connections are refused."""
        self._server.stop()

    async def open_again_after(self, seconds: float) -> None:
        """End every connection that was open, and listen again after so long."""
        await self._server.close_all_connections()
        await asyncio.sleep(seconds)
        self._open()

    def _open(self) -> None:
        self._server = httpserver.HTTPServer(
            self._application, max_body_size=MAX_BODY_BYTES, max_buffer_size=MAX_BODY_BYTES
        )
        self._server.add_sockets(netutil.bind_sockets(self.port, ports.HOST))
