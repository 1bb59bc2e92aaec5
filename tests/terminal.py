"""A command on a terminal, as a person has it: 80 columns, and Ctrl-C."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

ROWS, COLUMNS = 24, 80
# Colours, and where the cursor goes
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self._process = process
        self._ours = ours
        self._seen = b""

    @property
    def shown(self) -> str:
        """All that was printed so far, without colours; a line that was drawn again is there again."""
        return _CONTROL.sub("", self._seen.decode(errors="replace")).replace("\r", "")

    def wait_for(self, text: str, seconds: float = 20) -> Self:
        """Until it was printed."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown[-1_000:]
            assert self._read(), self.shown[-1_000:]
        return self

    def interrupt(self) -> int:
        """What Ctrl-C does; the exit code."""
        self._process.send_signal(signal.SIGINT)
        while self._read():
            pass
        return self._process.wait(60)

    def _read(self) -> bool:
        """False where nobody will print anything more."""
        try:
            read = os.read(self._ours, 65_536)
        except OSError:
            # Linux says so where the other side was closed
            return False
        self._seen += read
        return bool(read)


@contextmanager
def reembed(environment: Mapping[str, str], *arguments: str) -> Iterator[Terminal]:
    """The command under way; killed at the end of the block."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    names = {**os.environ, **environment, "TERM": "xterm"}
    names.pop("COLUMNS", None)
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "reembed", *arguments],
            env=names,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            try:
                yield Terminal(process, ours)
            finally:
                process.kill()
    finally:
        os.close(ours)
