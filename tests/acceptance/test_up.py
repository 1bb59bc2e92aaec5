"""`make up` without a database of one's own: what it starts works, and Ctrl-C ends all of it."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psycopg
import pytest

from orchestrator.embedded import process
from tests import waiting


def free_ports(count: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


def variables(path: Path) -> dict[str, str]:
    return dict(line.replace("'", "").split("=", 1) for line in path.read_text().splitlines())


def test_all_processes_run_beside_an_embedded_stack_and_ctrl_c_ends_them(tmp_path: Path) -> None:
    flower, metrics = free_ports(2)
    found = tmp_path / "variables"
    with (
        (tmp_path / "log").open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "orchestrator.demo.up", "--documents", "100", "--variables", str(found)],
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "FLOWER_PORT": str(flower),
                "METRICS_PORT": str(metrics),
            },
            cwd=process.CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as running,
    ):
        try:
            environment = waiting.until(lambda: variables(found) if found.exists() else None, seconds=90)
            # A key is in it
            assert found.stat().st_mode & 0o077 == 0
            # When a migration is started, as it says
            done = subprocess.run(
                [sys.executable, "-m", "reembed", "start", "--wait"],
                env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "log").read_text()
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
                assert 'reembed_documents{migration="1",state="embedded",table="public.documents"} 100.0' in (
                    answer.read().decode()
                )
            with urllib.request.urlopen(f"http://127.0.0.1:{flower}/healthcheck") as answer:
                assert answer.status == 200
        finally:
            os.killpg(running.pid, signal.SIGINT)
            code = running.wait(60)
    log = (tmp_path / "log").read_text()
    assert code == 0, log
    assert "Traceback" not in log
    assert set(re.findall(r"system +\| ([\w.]+) stopped", log)) == {
        "worker.1", "worker.2", "control.1", "beat.1", "flower.1", "metrics.1"
    }  # fmt: skip
    assert not found.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(environment["DATABASE_URL"], connect_timeout=2)
