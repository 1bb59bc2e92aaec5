"""What running in several processes at once asks for: the order of the files, and an end for what nobody ended.

Each process has a stack of its own, so a file runs as it does alone. A file stays in one process, because its fixtures
start servers and workers for all of it.
"""

import os
import signal
import uuid
from contextlib import suppress
from pathlib import Path

# Those that take a minute and more, the longest first: a process that came to one of them last would work on alone
LONGEST = (
    "acceptance/test_chaos.py",
    "acceptance/test_failure_matrix.py",
    "acceptance/test_passing_faults.py",
    "acceptance/test_faults.py",
    "acceptance/test_stopping_faults.py",
    "acceptance/test_what_if.py",
)
# The rest, by what they start
_ROOMS = ("acceptance", "integration", "unit")

_HERE = Path(__file__).parent
_MARK = "REEMBED_TEST_RUN"


def place(file: Path) -> tuple[int, int]:
    """Where a file stands in the order; files of equal places stay as they were."""
    path = file.relative_to(_HERE)
    listed = path.as_posix() in LONGEST
    return (LONGEST.index(path.as_posix()) if listed else len(LONGEST)), _ROOMS.index(path.parts[0])


def mark() -> None:
    """From now on whatever is started, by whomever, can be told by its environment."""
    os.environ[_MARK] = uuid.uuid4().hex


def end_children() -> None:
    """End what this process has started, without waiting for anybody to finish the batch in hand."""
    for number in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with suppress(OSError):
            _end(Path(f"/proc/{number}"))


def end_the_rest() -> list[str]:
    """End what this run has started and nobody has ended, and say what that was.

    A process of the tests ends what it has started, on Ctrl-C too; but it is killed if it needs too long for it.
    """
    ours = f"{_MARK}={os.environ[_MARK]}".encode()
    ended = []
    for directory in Path("/proc").glob("[0-9]*"):
        # Some end while we look, and some are not ours to look into
        with suppress(OSError):
            if ours in (directory / "environ").read_bytes().split(b"\0"):
                ended.append(_end(directory))
    return ended


def _end(process: Path) -> str:
    name = (process / "comm").read_text().strip()
    # Postgres then takes its own with it, and its shared memory
    os.kill(int(process.name), signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
    return name
