"""A provider that costs next to nothing, so that what is measured is the client: `python -m benchmarks.provider`.

A process of its own that speaks HTTP as OpenAI's embeddings endpoint does, on keep-alive connections. It counts the
texts of a request and answers with as many of its ready-made vectors, after a given latency. They mean nothing.
"""

import argparse
import asyncio
import base64
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson

from orchestrator.embedded import process

DIMENSIONS = 768
# Different vectors for every document of a benchmark: an index of equal ones would be another index
_READY = 20_480
# As numbers they are five times as long, and only a peer asks for them
_READY_NUMBERS = 1_024
_START_SECONDS = 60.0


@contextmanager
def running(directory: Path, latency_ms: int = 0) -> Iterator[str]:
    """The base URL of a provider, ended with the block."""
    port = directory / f"provider-{latency_ms}.port"
    port.unlink(missing_ok=True)
    server = process.Process(
        "The benchmarks' provider",
        [sys.executable, "-m", __name__, "--latency-ms", str(latency_ms), "--port-file", str(port)],
        directory / "provider.log",
        directory=process.CHECKOUT,
    )
    try:
        server.start()
        server.wait_until(port.exists, _START_SECONDS)
        yield f"http://127.0.0.1:{port.read_text()}/v1"
    finally:
        server.terminate()


class _Server:
    def __init__(self, latency_seconds: float) -> None:
        self._latency_seconds = latency_seconds
        vectors = np.random.default_rng(1).normal(size=(_READY, DIMENSIONS)).astype("<f4")
        self._base64 = [b'"%b"' % base64.b64encode(vector) for vector in vectors]
        self._numbers = [orjson.dumps(vector.tolist()) for vector in vectors[:_READY_NUMBERS]]
        self._next = itertools.count()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request, until the client closes it."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_length(head))
                await asyncio.sleep(self._latency_seconds)
                answer = self._answer(orjson.loads(body))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(answer), answer)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, asked: dict[str, object]) -> bytes:
        texts = asked["input"]
        count = len(texts) if isinstance(texts, list) else 1
        ready = self._base64 if asked.get("encoding_format") == "base64" else self._numbers
        rows = (
            b'{"object":"embedding","index":%d,"embedding":%b}'
            % (index, ready[next(self._next) % len(ready)])
            for index in range(count)
        )
        return (
            b'{"object":"list","data":[%b],"model":"constant","usage":{"prompt_tokens":%d,"total_tokens":%d}}'
            % (b",".join(rows), count, count)
        )


def _length(head: bytes) -> int:
    """Of the body, from the headers."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    server = await asyncio.start_server(
        _Server(arguments.latency_ms / 1_000).serve, "127.0.0.1", 0, limit=2**26
    )
    unfinished = arguments.port_file.with_suffix(".unfinished")
    unfinished.write_text(str(server.sockets[0].getsockname()[1]))
    unfinished.replace(arguments.port_file)
    await server.serve_forever()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.provider", description=__doc__)
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--port-file", type=Path, required=True)
    asyncio.run(_serve(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
