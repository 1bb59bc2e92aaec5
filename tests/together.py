"""`make test`: the tests in three processes at once, each with servers of its own, and one answer.

Most tests wait for servers and workers, so that three processes of them fit on two cores. What is given on the command
line goes to all of them.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import parallel

_HERE = Path(__file__).parent
# Of integration and unit tests, measured
_WITHOUT_ACCEPTANCE_SECONDS = 690
# Nothing was collected: what was asked for is in another room
_NONE = 5


def rooms() -> list[list[Path]]:
    """What each process runs: about as long, and every test in one of them.

    Integration and unit tests stay together, for each room pays for servers of its own. Of the acceptance tests the
    longest file first goes to the room that has the least so far.
    """
    rooms: list[list[Path]] = [[_HERE / "integration", _HERE / "unit"], [], []]
    taken = [_WITHOUT_ACCEPTANCE_SECONDS, 0, 0]
    files = sorted((_HERE / "acceptance").glob("test_*.py"))
    for file in sorted(files, key=parallel.seconds, reverse=True):
        emptiest = taken.index(min(taken))
        rooms[emptiest].append(file)
        taken[emptiest] += parallel.seconds(file)
    return rooms


def _aside(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main(options: list[str]) -> int:
    pytest = [sys.executable, "-m", "pytest"]
    first, *others = [[*pytest, *map(str, room), *options] for room in rooms()]
    with ThreadPoolExecutor() as pool:
        started = [pool.submit(_aside, other) for other in others]
        codes = [subprocess.run(first).returncode]
        for other in started:
            done = other.result()
            sys.stdout.write(done.stdout)
            sys.stdout.flush()
            codes.append(done.returncode)
    found = [code for code in codes if code != _NONE]
    return max(found) if found else _NONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
