"""A terminal with a shell in it: what a person types, what it shows, and Ctrl-C."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# The shell opens the terminal by its name, and so it becomes its own: then Ctrl-C goes to what runs in it
_SHELL = ["sh", "-c", 'exec bash --noprofile --norc --noediting -i < "$0" > "$0" 2>&1']
_CTRL_C = b"\x03"
# Colours, and where the cursor goes
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@dataclass
class Terminal:
    _screen: int
    shown: str = field(default="", init=False)
    """Everything so far."""

    def type(self, line: str) -> None:
        """And Enter, without waiting for what comes of it."""
        os.write(self._screen, f"{line}\n".encode())

    def run(self, line: str, seconds: float, *, answers: str = "") -> tuple[int, str]:
        """Type a command, and another line for the question that it ends with: its exit code, and what it showed.

        The line is typed as it is, on a line of its own, comment and all.
        """
        begin = len(self.shown)
        self.type(line)
        if answers:
            self.wait_for(r"\?.*\[y/N\]: $", seconds, begin)
            self.type(answers)
        # What is typed is shown as well, but not with a number for the code
        self.type('echo "ended with $?."')
        found = self.wait_for(r"ended with (\d+)\.", seconds, begin)
        return int(found[1]), self.shown[begin : found.start()]

    def wait_for(self, pattern: str, seconds: float, begin: int = 0) -> re.Match[str]:
        """Until it shows this, after so many characters."""
        deadline = time.monotonic() + seconds
        wanted = re.compile(pattern)
        while not (found := wanted.search(self.shown, begin)):
            assert time.monotonic() < deadline, f"no {pattern} in:\n{self.shown[begin:]}"
            time.sleep(0.05)
        return found

    @property
    def text(self) -> str:
        """Everything without colours; what was drawn again is there again."""
        return _CONTROL.sub("", self.shown)

    def ctrl_c(self) -> None:
        os.write(self._screen, _CTRL_C)

    def watch(self, closed: threading.Event) -> None:
        """Read what it shows: a terminal that nobody reads holds up whoever writes to it."""
        while not closed.is_set():
            if select.select([self._screen], [], [], 0.1)[0]:
                self.shown += os.read(self._screen, 65_536).decode(errors="replace").replace("\r\n", "\n")


@contextmanager
def opened(
    directory: Path, environment: Mapping[str, str], *, kind: str = "dumb", columns: int = 200
) -> Iterator[Terminal]:
    """A terminal in this directory; closed, with all that runs in it, at the end of the block."""
    screen, keyboard = pty.openpty()
    termios.tcsetwinsize(keyboard, (24, columns))
    terminal, closed = Terminal(screen), threading.Event()
    watching = threading.Thread(target=terminal.watch, args=[closed])
    watching.start()
    try:
        with subprocess.Popen(
            [*_SHELL, os.ttyname(keyboard)],
            cwd=directory,
            env={**environment, "PS1": "", "PS2": "", "TERM": kind, "COLUMNS": str(columns)},
            start_new_session=True,
        ) as shell:
            try:
                yield terminal
            finally:
                # As when its window is closed
                shell.send_signal(signal.SIGHUP)
                try:
                    shell.wait(20)
                except subprocess.TimeoutExpired:
                    shell.kill()
    finally:
        closed.set()
        watching.join()
        os.close(keyboard)
        os.close(screen)
