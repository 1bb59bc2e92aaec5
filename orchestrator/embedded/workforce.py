"""The Celery processes of an installation: workers for chunks, the control worker, the schedule.

The commands are those that an operator types, so that demo and tests run what production runs.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.embedded import process

START_SECONDS = 60.0
STOP_SECONDS = 20.0

# A worker with one queue to read needs no acquaintance with the others; Flower wants the events (-E)
WORKER_OPTIONS = ["--prefetch-multiplier", "1", "-E", "-l", "INFO", "--without-gossip", "--without-mingle"]


class Workforce:
    """Starts Celery processes and ends them all with its context.

    Every start can be told not to wait; `wait_until_ready` then waits for all of them at once.
    """

    def __init__(self, environment: Mapping[str, str], log_directory: Path) -> None:
        """`environment` is added to ours: see `Stack.environment`."""
        self._environment = environment
        self._log_directory = log_directory
        self.workers: list[process.Process] = []
        """Those for chunks, in the order of their starts."""
        self.control: process.Process | None = None
        self.beat: process.Process | None = None
        self._beats = 0
        self._processes: list[process.Process] = []
        self._starting: list[tuple[process.Process, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_worker(self, concurrency: int = 1, *, wait: bool = True) -> process.Process:
        """A worker for chunks with this many processes, named embed-1, embed-2 and so on."""
        name = f"embed-{len(self.workers) + 1}"
        worker = self._start_worker(name, "reembed.embed", concurrency, wait=wait)
        self.workers.append(worker)
        return worker

    def start_control(self, *, wait: bool = True) -> process.Process:
        """The worker for callbacks and the schedule's tasks: they never wait behind chunks."""
        self.control = self._start_worker("control", "reembed.control", 1, wait=wait)
        return self.control

    def start_beat(self, *, wait: bool = True) -> process.Process:
        """The schedule. One is enough, and two do no harm."""
        self._beats += 1
        name = f"beat-{self._beats}"
        command = ["beat", "-s", str(self._log_directory / f"{name}.schedule"), "--pidfile=", "-l", "INFO"]
        started = self._start(name, command, "beat: Starting", wait)
        self.beat = self.beat or started
        return started

    def wait_until_ready(self) -> None:
        """Wait for everything that was started without waiting."""
        while self._starting:
            started, sign = self._starting.pop()
            started.wait_for_log(sign, START_SECONDS)

    def stop(self) -> None:
        """End all of them in order: they finish the batch in hand and give their chunks back."""
        try:
            for running in self._processes:
                running.ask_to_end()
            for running in self._processes:
                running.terminate(STOP_SECONDS)
        finally:
            # Whoever presses Ctrl-C now does not want to wait for them
            self.kill()

    def kill(self) -> None:
        """SIGKILL to all of them: nobody gives anything back."""
        for running in self._processes:
            running.kill()

    def _start_worker(self, name: str, queue: str, concurrency: int, *, wait: bool) -> process.Process:
        command = ["worker", "-Q", queue, "-c", str(concurrency), "-n", f"{name}@%h", *WORKER_OPTIONS]
        return self._start(name, command, " ready.", wait)

    def _start(self, name: str, command: list[str], sign: str, wait: bool) -> process.Process:
        started = process.Process(
            name,
            [sys.executable, "-m", "celery", "-q", "-A", "config.celery_app", *command],
            self._log_directory / f"{name}.log",
            environment=self._environment,
            directory=process.CHECKOUT,
        )
        started.start()
        self._processes.append(started)
        self._starting.append((started, sign))
        if wait:
            self.wait_until_ready()
        return started
