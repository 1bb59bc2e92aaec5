"""What there is to break, and hands that mend it a little later."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.embedded.process import Process
from orchestrator.embedded.workforce import Workforce
from tests.installation import Installation

_AWAY_SECONDS = 10.0


@dataclass
class Scene:
    installation: Installation
    workforce: Workforce
    control: Process
    beat: Process
    lease_seconds: float
    latency_ms: int
    """Of a request to the provider."""
    batch: int
    """Documents of a request, at most."""
    in_flight: int
    """Documents that a worker has asked for and not committed, at most."""
    _later: list[threading.Timer] = field(default_factory=list)

    @property
    def everybody(self) -> int:
        """Documents in flight in all workers together, at most."""
        return self.in_flight * len(self.workforce.workers)

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        timer = threading.Timer(seconds, what)
        timer.start()
        self._later.append(timer)

    def tell_provider(self, what: Callable[[], None]) -> None:
        """Say something to the provider's control surface, which is away while connections are refused."""
        deadline = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                what()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def kill(self, process: Process, pause: float) -> None:
        """It is started again after a pause, as a supervisor does."""
        process.kill()
        self.after(pause, lambda: start_again(process))

    def mend(self) -> None:
        """Everything runs again, and the provider answers."""
        for timer in self._later:
            timer.join()
        self.tell_provider(self.installation.stack.provider.recover)
        self.tell_provider(lambda: self.installation.stack.provider.set_latency(0))
        self.tell_provider(lambda: self.installation.stack.provider.hold_jobs(0))
        for process in (*self.workforce.workers, self.control, self.beat):
            send(process, signal.SIGCONT)
            if not process.running:
                process.start()


def start_again(process: Process) -> None:
    process.kill()
    process.start()


def send(process: Process, number: signal.Signals) -> None:
    """To the whole group; nothing if it does not run."""
    if process.running:
        os.killpg(process.pid, number)


def kill_children(process: Process) -> None:
    if process.running:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
