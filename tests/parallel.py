"""What running in several processes at once asks for: the order of the files, and an end for what nobody ended.

Each process has a stack of its own, so a file runs as it does alone. A file stays in one process, because its fixtures
start servers and workers for all of it.
"""

import os
import signal
import uuid
from contextlib import suppress
from pathlib import Path

# Seconds, measured, of the files that take twenty and more, the longest first: a process that came to one of them last
# would work on alone
SECONDS = {
    "acceptance/test_chaos.py": 230,
    "acceptance/test_failure_matrix.py": 200,
    "acceptance/test_faults.py": 170,
    "acceptance/test_passing_faults.py": 120,
    "acceptance/test_stopping_faults.py": 110,
    "acceptance/test_migration.py": 90,
    "acceptance/test_mistakes.py": 90,
    "acceptance/test_what_if.py": 90,
    "acceptance/test_tables.py": 70,
    "acceptance/test_delivery.py": 60,
    "acceptance/test_live_writes.py": 60,
    "acceptance/test_search.py": 60,
    "acceptance/test_brokers.py": 50,
    "acceptance/test_budget.py": 30,
    "acceptance/test_roles.py": 30,
    "acceptance/test_secrecy.py": 30,
    "acceptance/test_readme.py": 25,
    "acceptance/test_flower.py": 20,
    "acceptance/test_jobs.py": 20,
}
_LONGEST = list(SECONDS)
# Any other: half of those twenty
_SHORT_SECONDS = 10
# The rest, by what they start
_ROOMS = ("acceptance", "integration", "unit")

_HERE = Path(__file__).parent
_MARK = "REEMBED_TEST_RUN"


def place(file: Path) -> tuple[int, int]:
    """Where a file stands in the order; files of equal places stay as they were."""
    path = file.relative_to(_HERE)
    name = path.as_posix()
    return (_LONGEST.index(name) if name in SECONDS else len(SECONDS)), _ROOMS.index(path.parts[0])


def seconds(file: Path) -> int:
    """How long an acceptance test's file takes, about."""
    return SECONDS.get(file.relative_to(_HERE).as_posix(), _SHORT_SECONDS)


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
