"""The built-in embedding server as a child process, with the handle that steers it."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.embedded import process
from orchestrator.embedding_server import client

START_SECONDS = 30.0


class EmbeddingServer(client.Control):
    """One server. `launch` and `wait_until_ready` start it, `stop` ends it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(secrets.token_hex(16))
        self._port_file = directory / "embedding_server.port"
        # Not in the arguments, which everybody on the machine can read
        self._key_file = directory / "embedding_server.key"
        self._process = process.Process(
            "The embedding server",
            [
                *(sys.executable, "-m", "orchestrator.embedding_server"),
                *("--api-key-file", self._key_file, "--port-file", self._port_file),
            ],
            directory / "embedding_server.log",
            directory=process.CHECKOUT,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def launch(self) -> None:
        """Start it without waiting for it."""
        self._port_file.unlink(missing_ok=True)
        self._key_file.touch(mode=0o600)
        self._key_file.write_text(self.api_key)
        self._process.start()

    def wait_until_ready(self) -> None:
        self._process.wait_until(self._port_file.exists, START_SECONDS)
        self.port = int(self._port_file.read_text())

    def stop(self) -> None:
        """End it, if it runs."""
        self._process.terminate()


@contextmanager
def running(directory: Path) -> Iterator[EmbeddingServer]:
    """A server of one's own, ready, until the end of the block."""
    made = EmbeddingServer(directory)
    try:
        made.launch()
        made.wait_until_ready()
        yield made
    finally:
        made.stop()
