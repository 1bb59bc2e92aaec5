"""`python -m config`: whether the environment will do for all processes, asked before any of them starts.

Prints nothing where it will, and one line where it will not, with exit code 2. Each process asks again for itself.
"""

import sys

from flower import command

from config import flower_access
from config.settings import Settings
from reembed import errors


def main() -> int:
    try:
        Settings.load()
        command.apply_env_options()
        flower_access.check_options()
    except errors.Usage as error:
        sys.stderr.write(f"reembed: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
