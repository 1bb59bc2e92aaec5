"""Flower as the Procfile starts it, beside an installation."""

import json
import os
import shlex
import socket
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.embedded import process
from tests.installation import Installation

_START_SECONDS = 30


@dataclass(frozen=True)
class Flower:
    port: int
    account: str
    """User and password, with a colon between."""

    @property
    def address(self) -> str:
        """With the account, for a browser."""
        return f"http://{self.account.replace(' ', '%20')}@127.0.0.1:{self.port}"

    def status(self, path: str, *, method: str = "GET", account: str | None = "") -> int:
        """Of the answer to whoever has this account; empty: the right one, None: none."""
        try:
            with self._open(path, method, self.account if account == "" else account) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code

    def tasks(self, query: str = "") -> dict[str, dict[str, Any]]:
        """By id, as the API shows them."""
        with self._open(f"/api/tasks?{query}", "GET", self.account) as answer:
            found: dict[str, dict[str, Any]] = json.load(answer)
        return found

    def _open(self, path: str, method: str, account: str | None) -> Any:
        headers = {"Authorization": f"Basic {b64encode(account.encode()).decode()}"} if account else {}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers, method=method)
        return urllib.request.urlopen(asked, timeout=10)  # noqa: S310


@contextmanager
def beside(installation: Installation, account: str = "ops:a password") -> Iterator[Flower]:
    """Ready, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines = (process.CHECKOUT / "Procfile").read_text().splitlines()
    (line,) = [line.partition("exec ")[2] for line in lines if line.startswith("flower:")]
    words = shlex.split(line.replace("${FLOWER_PORT:-5555}", str(port)))
    started = process.Process(
        "flower",
        [sys.executable, "-m", *words],
        installation.logs / "flower.log",
        environment={**os.environ, **installation.environment, "FLOWER_BASIC_AUTH": account},
        directory=process.CHECKOUT,
    )
    started.start()
    try:
        flower = Flower(port, account)
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(flower):
            assert time.monotonic() < deadline, started.log.read_text()
            time.sleep(0.1)
        yield flower
    finally:
        started.terminate(10)


def _answers(flower: Flower) -> bool:
    try:
        return flower.status("/healthcheck") == 200
    except OSError:
        return False
