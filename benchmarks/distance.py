"""A database that is further away: a proxy that delays every byte by half of the added round trip, each way.

A process of its own: `python -m benchmarks.distance`. Bytes leave in the order and at the rate at which they came, so
that it adds latency and takes no bandwidth.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.embedded import process

_READ = 2**18
_START_SECONDS = 20.0


@contextmanager
def to(socket: Path, directory: Path, round_trip_ms: float) -> Iterator[Path]:
    """A directory with a socket named as the database's own is, the given round trip away from it."""
    near = directory / f"{round_trip_ms:g}-ms-away"
    near.mkdir(exist_ok=True)
    (near / socket.name).unlink(missing_ok=True)
    proxy = process.Process(
        "The delaying proxy",
        [sys.executable, "-m", __name__, str(socket), str(near / socket.name), str(round_trip_ms)],
        directory / "distance.log",
        directory=process.CHECKOUT,
    )
    try:
        proxy.start()
        proxy.wait_until((near / socket.name).exists, _START_SECONDS)
        yield near
    finally:
        proxy.terminate()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Every piece leaves `seconds` after it came, whatever is on its way before it."""
    loop = asyncio.get_running_loop()
    on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, piece = await on_its_way.get()
            await asyncio.sleep(due - loop.time())
            if not piece:
                writer.close()
                return
            writer.write(piece)
            await writer.drain()

    delivery = asyncio.create_task(deliver())
    try:
        while piece := await reader.read(_READ):
            on_its_way.put_nowait((loop.time() + seconds, piece))
    except ConnectionError:
        pass
    on_its_way.put_nowait((loop.time() + seconds, b""))
    await delivery


async def _serve(arguments: argparse.Namespace) -> None:
    one_way = arguments.round_trip_ms / 2_000

    async def connected(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(arguments.far, limit=_READ)
        await asyncio.gather(
            _carry(near_reader, far_writer, one_way),
            _carry(far_reader, near_writer, one_way),
            return_exceptions=True,
        )

    server = await asyncio.start_unix_server(connected, arguments.near, limit=_READ)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.distance", description=__doc__)
    parser.add_argument("far")
    parser.add_argument("near")
    parser.add_argument("round_trip_ms", type=float)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
