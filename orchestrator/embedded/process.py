"""One child process: its log in a file, its readiness awaited, its end certain.

A child gets a session of its own, so that Ctrl-C in the terminal reaches only us and we end the children in
order. Its output goes to a file and never to a pipe of ours, so that it cannot block on a reader who is busy
or gone. The limit: if we are killed with SIGKILL, nobody is left to end the children.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.embedded import account
from reembed import errors

CHECKOUT = Path(__file__).parents[2]
"""Where `python -m` finds our packages, whatever directory the user is in."""

POLL_SECONDS = 0.01
TAIL_LINES = 20


class ProcessFailed(errors.ReembedError):
    """{name} {problem}. The end of its log: {tail}"""


class Process:
    """A child that is started, and may be ended and started again. Ending it is safe at any time."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        user: account.Account | None = None,
    ) -> None:
        """`environment` is added to ours."""
        self.name = name
        self.log = log
        self._command = command
        self._environment = environment or {}
        self._directory = directory
        self._user = user
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it without waiting for it."""
        # An earlier life of the same program may have written to this log: its "ready" is not this one's
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._asked_to_end = False
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(  # noqa: S603  # the command is ours
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                cwd=self._directory,
                start_new_session=True,
                **account.as_user(self._user),
            )

    @property
    def pid(self) -> int:
        """Of the last start. Raises ProcessFailed before the first."""
        if self._child is None:
            raise ProcessFailed(name=self.name, problem="was never started", tail="(none)")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def wait_for_log(self, words: str, timeout_seconds: float) -> None:
        """Wait until the log says these words. Raises ProcessFailed."""
        self.wait_until(lambda: words in self._log_text(), timeout_seconds)

    def wait_until(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until `ready` holds. Raises ProcessFailed, with the end of the log, if it ends or dawdles."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if not self.running:
                raise self._failed("ended before it was ready")
            if time.monotonic() > deadline:
                raise self._failed(f"was not ready within {timeout_seconds:g} seconds")
            time.sleep(POLL_SECONDS)

    def wait_for_success(self, timeout_seconds: float) -> None:
        """Wait until it has ended by itself. Raises ProcessFailed unless its status is 0."""
        deadline = time.monotonic() + timeout_seconds
        while self.running:
            if time.monotonic() > deadline:
                raise self._failed(f"did not end within {timeout_seconds:g} seconds")
            time.sleep(POLL_SECONDS)
        if self._child is None or self._child.returncode != 0:
            raise self._failed("did not succeed")

    def ask_to_end(self, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal, once: Celery takes a second one for a loss of patience."""
        if self._child is not None and not self._asked_to_end:
            self._asked_to_end = True
            self._child.send_signal(stop_signal)

    def terminate(self, grace_seconds: float = 10.0, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end; kill it if it does not in time, or if we are interrupted while we wait."""
        if self._child is None:
            return
        try:
            self.ask_to_end(stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(grace_seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the process and its group; nothing if it does not run."""
        if self._child is not None and self.running:
            # The group bears the number of the process, and cannot be another's while that runs
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def _log_text(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _failed(self, problem: str) -> ProcessFailed:
        tail = self._log_text().splitlines()[-TAIL_LINES:]
        return ProcessFailed(name=self.name, problem=problem, tail="\n".join(tail) or "(empty)")
