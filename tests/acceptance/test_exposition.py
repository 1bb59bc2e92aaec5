"""`reembed metrics`, scraped by the real Prometheus with the configuration of deploy/."""

import json
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from orchestrator.embedded import process
from tests import installation, waiting
from tests.installation import Installation

PROMETHEUS = shutil.which("prometheus")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def ask(port: int, path: str, **query: str) -> Any:
    """Prometheus's answer; None while it is not ready."""
    try:
        url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]
    except urllib.error.URLError:
        return None


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (apt-get install prometheus)")
def test_prometheus_scrapes_a_migration_and_loads_every_alert(
    new_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    assert PROMETHEUS is not None
    made, ours, theirs = new_installation(), free_port(), free_port()
    with made.connect() as database:
        installation.make_table(database, sql.Identifier("documents"), installation.texts(40), indexed=False)
    assert made.reembed("start").code == 0
    shutil.copytree(process.CHECKOUT / "deploy" / "prometheus", tmp_path / "configuration")
    configuration = tmp_path / "configuration" / "prometheus.yml"
    configuration.write_text(
        configuration.read_text()
        .replace("127.0.0.1:9464", f"127.0.0.1:{ours}")
        .replace("scrape_interval: 30s", "scrape_interval: 1s")
        .replace("scrape_timeout: 25s", "scrape_timeout: 1s")
    )
    prometheus = process.Process(
        "prometheus",
        [
            PROMETHEUS, f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{theirs}",
        ],
        tmp_path / "prometheus.log",
    )  # fmt: skip
    with made.begin("metrics", "--port", str(ours)):
        prometheus.start()
        try:
            query = 'reembed_documents{table="public.documents", state="pending"}'
            found = waiting.until(lambda: (ask(theirs, "query", query=query) or {}).get("result"), seconds=60)
            assert found[0]["value"][1] == "40"
            (group,) = ask(theirs, "rules")["groups"]
            assert len(group["rules"]) == 12
        finally:
            prometheus.terminate(10)


def test_a_port_that_is_taken_is_said_in_one_line(new_installation: Callable[..., Installation]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = new_installation().reembed("metrics", "--port", str(port))
    assert answer.code == 2
    assert answer.err == (
        f"reembed: Nothing can listen on 127.0.0.1:{port}: Address already in use. "
        "Choose another with --port or --host.\n"
    )
