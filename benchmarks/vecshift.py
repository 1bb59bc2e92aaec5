"""vecshift 0.4.0, the nearest peer: its own command, as its documentation has it, on the same table and provider.

`vecshift init` writes the job, `vecshift apply` does it. It lives in an environment of its own, because its
dependencies must not touch ours: the extra `benchmarks` of pyproject.toml says which version that environment gets.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import installation, table
from orchestrator.embedded import process

BATCH = 500
_HOME = process.CHECKOUT / ".venv-benchmarks"


@dataclass(frozen=True)
class Vecshift:
    """An installed vecshift."""

    command: Path

    def backfill(self, url: str, base_url: str, directory: Path) -> installation.Run:
        """Fill `embedding_v2` of the table `documents` of a database. The directory gets its job and its state.

        Seconds are what it reports itself, without the interpreter's start. CPU is the process's, less what a second
        `apply` costs that finds nothing to do.
        """
        environment = {**os.environ, "VECSHIFT_DSN": url, "NO_COLOR": "1"}
        model = f"compat/constant,url={base_url},dims={table.DIMENSIONS},price=0,batch={BATCH}"
        directory.mkdir()
        _ask([self.command, "init", "--table", "public.documents", "--model", model], directory, environment)
        apply: list[str | Path] = [self.command, "apply", "--yes", "--no-index", "--json"]
        lines, cpu_seconds, peak_bytes = _ask(apply, directory, environment)
        _, idle_seconds, _ = _ask(apply, directory, environment)
        result = json.loads(lines[-1])
        assert result["status"] == "complete", result
        return installation.Run(
            result["rows_written"], result["seconds"], cpu_seconds - idle_seconds, peak_bytes
        )


def installed() -> Vecshift:
    """Install it at the first use, from the package registry."""
    command = _HOME / "bin" / "vecshift"
    if not command.exists():
        print(f"installing {_requirement()} into {_HOME.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", _HOME], check=True)
        subprocess.run(
            [_HOME / "bin" / "python", "-m", "pip", "install", "--quiet", _requirement()], check=True
        )
    return Vecshift(command)


def _requirement() -> str:
    project = tomllib.loads((process.CHECKOUT / "pyproject.toml").read_text())
    (requirement,) = project["project"]["optional-dependencies"]["benchmarks"]
    return str(requirement)


def _ask(
    command: Sequence[str | Path], directory: Path, environment: Mapping[str, str]
) -> tuple[list[str], float, int]:
    """Its lines, the CPU seconds and the peak of memory in bytes that the process took."""
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        lines = running.stdout.read().splitlines()
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode == 0, lines
    return lines, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
