"""`make test`: the acceptance tests and all others at once, each with servers of its own, and one answer.

Most tests wait for servers and workers, so that two processes of them fit on two cores. What is given on the command
line goes to both.
"""

import subprocess
import sys
import tempfile

_ROOMS = (["tests/acceptance"], ["tests/integration", "tests/unit"])
# Nothing was collected: what was asked for is in the other room
_NONE = 5


def main(options: list[str]) -> int:
    pytest = [sys.executable, "-m", "pytest"]
    with tempfile.TemporaryFile("w+") as later:
        first = subprocess.Popen([*pytest, *_ROOMS[0], *options])
        second = subprocess.Popen([*pytest, *_ROOMS[1], *options], stdout=later, stderr=subprocess.STDOUT)
        codes = [first.wait(), second.wait()]
        later.seek(0)
        sys.stdout.write(later.read())
    found = [code for code in codes if code != _NONE]
    return max(found) if found else _NONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
