"""`python -m orchestrator.embedding_server`: serve until told to stop.

Listens on the loopback interface only. With `--port 0` the system picks a free port; `--port-file` gets its
number once the server listens, so that whoever started it knows where and when.
"""

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from tornado import web

from orchestrator.embedding_server import (
    app,
    control,
    embeddings,
    file_endpoints,
    job_control,
    job_endpoints,
    listening,
    state,
)

ROUTES = [
    ("/v1/embeddings", embeddings.Embeddings),
    ("/v1/models", app.Models),
    ("/v1/files", file_endpoints.Files),
    ("/v1/files/([^/]+)", file_endpoints.File),
    ("/v1/files/([^/]+)/content", file_endpoints.Content),
    ("/v1/batches", job_endpoints.Jobs),
    ("/v1/batches/([^/]+)", job_endpoints.Job),
    ("/v1/batches/([^/]+)/cancel", job_endpoints.Cancel),
    ("/control/retire", control.Retire),
    ("/control/restore", control.Restore),
    ("/control/latency", control.Latency),
    ("/control/refuse", control.Refuse),
    ("/control/accept", control.Accept),
    ("/control/fail", control.Fail),
    ("/control/limit", control.Limit),
    ("/control/leave", control.Leave),
    ("/control/recover", control.Recover),
    ("/control/usage", control.Usage),
    ("/control/times", control.Times),
    ("/control/arrivals", control.Arrivals),
    ("/control/jobs", job_control.Jobs),
    ("/control/jobs/hold", job_control.Hold),
    ("/control/jobs/expire", job_control.Expire),
    ("/control/jobs/fail", job_control.FailJobs),
    ("/control/jobs/break", job_control.BreakRequests),
    ("/control/files", job_control.Files),
]


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(_arguments()))


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = state.State(arguments.latency_ms / 1_000)
    shared = {"server": server, "api_key": arguments.api_key_file.read_text().strip()}
    application = web.Application([(path, handler, shared) for path, handler in ROUTES])
    server.listener = listening.Listener(application, arguments.port)
    if arguments.port_file:
        _write_whole(arguments.port_file, str(server.listener.port))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or none."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m orchestrator.embedding_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=Path)
    parser.add_argument("--api-key-file", type=Path, required=True, help="holds the only key that is let in")
    parser.add_argument("--latency-ms", type=int, default=0, help="what an embedding request waits first")
    return parser.parse_args()


if __name__ == "__main__":
    main()
